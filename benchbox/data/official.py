"""Whether a dataset has the numbers that were published of it."""

from collections.abc import Mapping

from benchbox.data.counting import Counts, counts_of, differences
from benchbox.data.protocol import ReidDataset
from benchbox.data.sources import SOURCES, Source

OFFICIAL_COUNTS: dict[str, Counts] = {
    name: source.official for name, source in SOURCES.items() if source.official is not None
}
"""Dataset → the numbers its papers print."""


def compare_with_official(
    dataset: ReidDataset, sources: Mapping[str, Source] = SOURCES
) -> list[str]:
    """Return how ``dataset`` differs from the published one of its name, nothing if it does not.

    A dataset whose name has no published numbers has nothing to differ from.

    Args:
        dataset: as it was read.
        sources: name → source, where others than ours are known.
    """
    source = sources.get(dataset.name)
    if source is None or source.official is None:
        return []
    return differences(counts_of(dataset), source.official)
