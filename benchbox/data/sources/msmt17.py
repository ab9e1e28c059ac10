"""MSMT17: fifteen cameras on a campus, in four times of a day (Wei et al. 2018)."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.msmt_lists import MsmtLists
from benchbox.data.sources.source import Source

_OBTAIN = (
    "its authors give {archive} to researchers who sign their agreement "
    "(https://www.pkuvmc.com/dataset.html)"
)
_CITATION = (
    "Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-Identification, CVPR 2018"
)
_LICENCE = (
    "research only, under an agreement; no passing on. The people in it were filmed in a public "
    "place and not asked; version 2 masks their faces"
)
_COUNTS = Counts(
    train_ids=1_041,
    train_images=32_621,
    query_ids=3_060,
    query_images=11_659,
    gallery_images=82_161,
    test_files=82_161,
    cameras=15,
)

V1 = Source(
    name="msmt17",
    title="MSMT17",
    layout=MsmtLists(train="train", test="test"),
    folders=("MSMT17_V1", "msmt17/MSMT17_V1", "msmt17", "MSMT17"),
    obtain=_OBTAIN.format(archive="MSMT17_V1"),
    citation=_CITATION,
    licence=_LICENCE,
    official=_COUNTS,
)

V2 = Source(
    name="msmt17-v2",
    title="MSMT17-V2",
    layout=MsmtLists(train="mask_train_v2", test="mask_test_v2"),
    folders=("MSMT17_V2", "msmt17/MSMT17_V2", "msmt17-v2", "MSMT17"),
    obtain=_OBTAIN.format(archive="MSMT17_V2"),
    citation=_CITATION,
    licence=_LICENCE,
    official=_COUNTS,
)
