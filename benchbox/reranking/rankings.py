"""The re-rankings that grids may ask for."""

from collections.abc import Mapping
from types import MappingProxyType

from benchbox.reranking.base import Reranking
from benchbox.reranking.k_reciprocal import KReciprocal
from benchbox.reranking.multi_query import MultiQuery
from benchbox.reranking.query_expansion import QueryExpansion

RANKINGS: Mapping[str, Reranking] = MappingProxyType(
    {each.name: each for each in (KReciprocal(), QueryExpansion(), MultiQuery())}
)


def title_of(ranking: str) -> str:
    """Return a ranking in words; a name that is none of ours as it is."""
    return RANKINGS[ranking].title if ranking in RANKINGS else ranking
