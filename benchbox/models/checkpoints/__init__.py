"""Other people's checkpoints: what a file is, its tensors, whose names they bear.

``container`` tells by its bytes what a file is, ``reading`` takes the tensors out of it without
running code, ``repositories`` knows how public repositories name them, ``accounting`` moves them
into a model and accounts for every one. Which model that is stands in ``models.fitting``.
"""

from benchbox.models.checkpoints.accounting import Loading, load_tensors, own_names
from benchbox.models.checkpoints.reading import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "Loading", "load_tensors", "own_names", "read_checkpoint"]
