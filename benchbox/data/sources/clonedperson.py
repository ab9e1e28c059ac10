"""ClonedPerson: rendered people in the clothes of photographs (Wang et al. 2022); to train on."""

from benchbox.data.layouts.pattern_folders import PatternFolders
from benchbox.data.rows import Numbering
from benchbox.data.sources.source import Source

SOURCE = Source(
    name="clonedperson",
    title="ClonedPerson",
    # As in RandPerson, scene and camera together are the camera.
    layout=PatternFolders(
        pattern="{pid}_{camid}_f{*}",
        train="train",
        matches="name",
        numbering=Numbering(zero="identity"),
    ),
    folders=("clonedperson", "ClonedPerson"),
    obtain="get it from its authors (https://github.com/Yanan-Wang-cs/ClonedPerson) and unpack it",
    citation="Wang et al., Cloning Outfits from Real-World Images to 3D Characters for "
    "Generalizable Person Re-Identification, CVPR 2022",
    licence="academic use; its people are rendered, in clothes of photographs",
)
