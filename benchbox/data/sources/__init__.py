"""The datasets a grid may name, one file each; plugins add theirs.

A :class:`Source` says where a dataset lies, how it is read, what its papers count, who made it and
under which conditions. Beside the names here, ``path:FOLDER`` and ``manifest:FILE`` name a dataset
of one's own.
"""

from collections.abc import Mapping
from types import MappingProxyType

from benchbox.data.sources import (
    clonedperson,
    cuhk03np,
    dukemtmcreid,
    last,
    market1501,
    market1501_500k,
    msmt17,
    occluded_duke,
    personx,
    randperson,
    sidewalk,
    veri776,
)
from benchbox.data.sources.folder import PATH_PREFIX, FolderSource
from benchbox.data.sources.manifest import MANIFEST_PREFIX, ManifestSource
from benchbox.data.sources.source import Source, register
from benchbox.errors import unknown_name

__all__ = [
    "MANIFEST_PREFIX",
    "PATH_PREFIX",
    "SOURCES",
    "Source",
    "register",
    "source_of",
]


def _ours() -> Mapping[str, Source]:
    found: dict[str, Source] = {}
    for source in (
        market1501.SOURCE,
        dukemtmcreid.SOURCE,
        msmt17.V1,
        msmt17.V2,
        cuhk03np.DETECTED,
        cuhk03np.LABELED,
        occluded_duke.SOURCE,
        market1501_500k.SOURCE,
        veri776.SOURCE,
        last.SOURCE,
        personx.SOURCE,
        randperson.SOURCE,
        clonedperson.SOURCE,
        *sidewalk.DOMAINS,
    ):
        register(found, source)
    return MappingProxyType(found)


SOURCES: Mapping[str, Source] = _ours()
"""Name → dataset, of those that come with benchbox."""


def source_of(name: str, sources: Mapping[str, Source] = SOURCES, *, where: str = "") -> Source:
    """Return the source of a dataset's name, ``path:FOLDER`` and ``manifest:FILE`` included.

    Args:
        name: as a grid gives it.
        sources: name → dataset.
        where: what the name stands in, for the error.

    Raises:
        BenchboxError: the name is unknown; the nearest ones are named.
    """
    if name in sources:
        return sources[name]
    if name.startswith(PATH_PREFIX):
        return FolderSource.at(name)
    if name.startswith(MANIFEST_PREFIX):
        return ManifestSource.at(name)
    known = (*sources, f"{PATH_PREFIX}FOLDER", f"{MANIFEST_PREFIX}FILE")
    raise unknown_name("dataset", name, known, where=where)
