"""Market-1501: six cameras before a supermarket in Beijing (Zheng et al. 2015)."""

from benchbox.data.counting import Counts
from benchbox.data.layouts.market_folders import MarketFolders
from benchbox.data.sources.source import Source

FOLDERS = (
    "Market-1501-v15.09.15",
    "market1501/Market-1501-v15.09.15",
    "market1501",
    "Market-1501",
    "Market1501",
)

SOURCE = Source(
    name="market1501",
    title="Market",
    layout=MarketFolders("market"),
    folders=FOLDERS,
    obtain="get the archive Market-1501-v15.09.15.zip from its authors' project page "
    "(https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html) and unpack it",
    citation="Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015",
    licence="academic use; the people in it were filmed in a public place and not asked",
    official=Counts(
        train_ids=751,
        train_images=12_936,
        query_ids=750,
        query_images=3_368,
        gallery_images=15_913,
        test_files=19_732,
        cameras=6,
    ),
)
