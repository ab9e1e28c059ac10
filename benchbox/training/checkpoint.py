"""Checkpoint and log of a training: written after a stretch of it, found again after a kill."""

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchbox.files.atomic import write_bytes, write_text
from benchbox.training.recipe import Companion

History = list[dict[str, Any]]
"""The log's entries, one for each stretch that was saved."""


class Checkpoint:
    """Everything a training needs to go on after a kill, in one atomically written file.

    Args:
        file: the checkpoint.
        log: the history beside it, one JSON line an entry.
        parts: what is saved, by name: model, optimiser and so on.
    """

    def __init__(self, file: Path, log: Path, parts: Mapping[str, Companion]) -> None:
        self._file, self._log, self._parts = file, log, parts

    def save(self, history: History) -> None:
        """Write the state of all parts, and the log."""
        state = {name: part.state_dict() for name, part in self._parts.items()}
        # Through memory: given a path, torch answers a full disk with an error of its own.
        content = io.BytesIO()
        torch.save({**state, "history": history}, content)
        write_bytes(self._file, content.getvalue())
        write_text(self._log, log_text(history))

    def restore(self, device: torch.device) -> History:
        """Load the saved state, if there is one, and return its history (else an empty one)."""
        if not self._file.is_file():
            return []
        try:
            state = torch.load(self._file, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            # A damaged checkpoint costs what it held, never the run.
            self._file.unlink(missing_ok=True)
            return []
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        history: History = state["history"]
        # A kill between the two writes of `save` leaves a log that lacks the last entry.
        write_text(self._log, log_text(history))
        return history


def log_text(history: History) -> str:
    """Return the log as one line of JSON an entry."""
    return "".join(json.dumps(entry) + "\n" for entry in history)
