"""benchbox: one harness for adversarially robust person re-identification.

What a notebook calls first is here under a short name and loaded when it is asked for: importing
``benchbox`` alone does not import PyTorch. The rooms and their order stand in CONTRIBUTING.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from benchbox.evaluating import Evaluation, evaluate
    from benchbox.evaluation.retrieval import Retrieval, evaluate_retrieval, rank_distances
    from benchbox.leaderboard.zoo import load_model
    from benchbox.models.given import Given

__all__ = [
    "Evaluation",
    "Given",
    "Retrieval",
    "__version__",
    "evaluate",
    "evaluate_retrieval",
    "load_model",
    "rank_distances",
]

_LAZY = {
    "Retrieval": "benchbox.evaluation.retrieval",
    "evaluate_retrieval": "benchbox.evaluation.retrieval",
    "rank_distances": "benchbox.evaluation.retrieval",
    "Evaluation": "benchbox.evaluating",
    "evaluate": "benchbox.evaluating",
    "load_model": "benchbox.leaderboard.zoo",
    "Given": "benchbox.models.given",
}


def __getattr__(name: str) -> Any:
    """Import the public functions on first use, so that ``benchbox --help`` need not load torch."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'benchbox' has no attribute {name!r}")
