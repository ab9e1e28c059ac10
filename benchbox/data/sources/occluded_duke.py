"""Occluded-Duke: DukeMTMC-reID's images split anew, each query occluded (Miao et al. 2019)."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.market_folders import MarketFolders
from benchbox.data.sources.dukemtmcreid import WITHDRAWN
from benchbox.data.sources.source import Source

SOURCE = Source(
    name="occluded-duke",
    title="Occluded-Duke",
    layout=MarketFolders("duke"),
    folders=("Occluded_Duke", "Occluded-DukeMTMC", "occluded_duke", "occluded-duke"),
    obtain=f"it consists of DukeMTMC-reID's images: {WITHDRAWN}",
    citation="Miao et al., Pose-Guided Feature Alignment for Occluded Person Re-identification, "
    "ICCV 2019",
    licence="of DukeMTMC-reID's images, which were withdrawn in 2019; the people in it were not "
    "asked",
    official=Counts(
        train_ids=702,
        train_images=15_618,
        query_ids=519,
        query_images=2_210,
        gallery_images=17_661,
        test_files=17_661,
        cameras=8,
    ),
)
