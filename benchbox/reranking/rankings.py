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
