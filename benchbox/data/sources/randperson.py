"""RandPerson's subset: rendered people on 19 cameras (Wang et al. 2020); to train on."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.pattern_folders import PatternFolders
from benchbox.data.rows import Numbering
from benchbox.data.sources.source import Source

SOURCE = Source(
    name="randperson",
    title="RandPerson",
    # Each scene counts its cameras from 0: scene and camera together are the camera. Identity 0
    # is a person.
    layout=PatternFolders(
        pattern="{pid}_{camid}_f{*}",
        train="randperson_subset",
        matches="name",
        numbering=Numbering(zero="identity"),
    ),
    folders=("randperson", "RandPerson", "."),
    obtain="get the subset of its paper's experiments from its authors "
    "(https://github.com/VideoObjectSearch/RandPerson) and unpack it as "
    "randperson/randperson_subset/",
    citation="Wang et al., Surpassing Real-World Source Training Data: Random 3D Characters for "
    "Generalizable Person Re-Identification, ACM MM 2020",
    licence="academic use; shows nobody, its people are rendered",
    official=Counts(
        train_ids=8_000,
        train_images=132_145,
        query_ids=0,
        query_images=0,
        gallery_images=0,
        test_files=0,
        cameras=19,
    ),
)
