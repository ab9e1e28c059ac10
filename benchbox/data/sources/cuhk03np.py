"""CUHK03 in the new protocol of Zhong et al. 2017: two cameras an identity, on a campus."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.pattern_folders import PatternFolders
from benchbox.data.scanning import GALLERY, QUERY, TRAIN
from benchbox.data.sources.source import Source

_LAYOUT = PatternFolders(pattern="{pid}_c{camid}_{*}", train=TRAIN, query=QUERY, gallery=GALLERY)
_OBTAIN = (
    "get CUHK03-NP as the authors of the protocol ship it "
    "(https://github.com/zhunzhong07/person-re-ranking) and unpack it"
)
_CITATION = (
    "Li et al., DeepReID: Deep Filter Pairing Neural Network for Person Re-identification, CVPR "
    "2014; protocol: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, "
    "CVPR 2017"
)
_LICENCE = "academic use; the people in it were filmed on a campus and not asked"

DETECTED = Source(
    name="cuhk03-np-detected",
    title="CUHK03-NP detected",
    layout=_LAYOUT,
    folders=("cuhk03-np/detected", "CUHK03-NP/detected", "cuhk03np/detected"),
    obtain=_OBTAIN,
    citation=_CITATION,
    licence=_LICENCE,
    official=Counts(
        train_ids=767,
        train_images=7_365,
        query_ids=700,
        query_images=1_400,
        gallery_images=5_332,
        test_files=5_332,
        cameras=2,
    ),
)

LABELED = Source(
    name="cuhk03-np-labeled",
    title="CUHK03-NP labeled",
    layout=_LAYOUT,
    folders=("cuhk03-np/labeled", "CUHK03-NP/labeled", "cuhk03np/labeled"),
    obtain=_OBTAIN,
    citation=_CITATION,
    licence=_LICENCE,
    official=Counts(
        train_ids=767,
        train_images=7_368,
        query_ids=700,
        query_images=1_400,
        gallery_images=5_328,
        test_files=5_328,
        cameras=2,
    ),
)
