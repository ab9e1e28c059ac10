"""VeRi-776: vehicles before twenty cameras (Liu et al. 2016); an identity is a car."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.pattern_folders import PatternFolders
from benchbox.data.sources.source import Source

SOURCE = Source(
    name="veri776",
    title="VeRi-776",
    # Each query lies in image_test, too: the gallery's copy is of the query's own camera, which the
    # protocol leaves out.
    layout=PatternFolders(
        pattern="{pid}_c{camid}_{*}",
        train="image_train",
        query="image_query",
        gallery="image_test",
    ),
    folders=("VeRi", "veri", "veri776", "VeRi-776", "VeRi_with_plate"),
    obtain="its authors give it to researchers on request (https://github.com/JDAI-CV/VeRidataset)",
    citation="Liu et al., A Deep Learning-Based Approach to Progressive Vehicle Re-identification "
    "for Urban Surveillance, ECCV 2016",
    licence="research only, no passing on; shows vehicles, whose drivers were not asked",
    official=Counts(
        train_ids=576,
        train_images=37_778,
        query_ids=200,
        query_images=1_678,
        gallery_images=11_579,
        test_files=11_579,
        cameras=20,
    ),
)
