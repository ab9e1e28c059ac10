"""How galleries may be ranked, by the names that grids and tables use."""

from typing import Literal

Ranking = Literal["plain", "k_reciprocal", "query_expansion", "multi_query"]
"""``plain`` is by the distance of two embeddings; for the others see `rankings.RANKINGS`."""

PLAIN: Literal["plain"] = "plain"
