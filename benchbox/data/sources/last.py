"""LaST: people in films, over years and changes of clothes (Shu et al. 2022); without cameras."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.pattern_folders import PatternFolders
from benchbox.data.rows import Numbering
from benchbox.data.sources.source import Source

SOURCE = Source(
    name="last",
    title="LaST",
    # Only the first field of a name is used: what else stands there is no camera. Queries lie in
    # one folder, training and gallery images in a folder an identity.
    layout=PatternFolders(
        pattern="{pid}_{*}",
        train="train",
        query="test/query",
        gallery="test/gallery",
        matches="name",
        numbering=Numbering(zero="identity", test_apart=True),
    ),
    folders=("last", "LaST"),
    obtain="get the archive from its authors (https://github.com/shuxjweb/last) and unpack it",
    citation="Shu et al., Large-Scale Spatio-Temporal Person Re-identification: Algorithm and "
    "Benchmark, IEEE TCSVT 2022",
    licence="academic research only; stills of films, whose actors were not asked",
    official=Counts(
        train_ids=5_000,
        train_images=71_248,
        query_ids=5_805,
        query_images=10_176,
        gallery_images=125_353,
        test_files=125_353,
        cameras=1,
    ),
    same_camera="keep",
)
