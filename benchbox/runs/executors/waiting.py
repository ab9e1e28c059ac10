"""Which stage is to be done next: the order that needs allow, the longest chain first."""

from collections.abc import Sequence

from benchbox.runs.stages import Stage, with_needs


class Waiting:
    """The stages still to be started, handed out when their needs are met."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._todo = {stage.key: stage for stage in stages}
        self._unfinished = set(self._todo)
        self._deaths: set[str] = set()
        self._length: dict[str, float] = {}
        # Longest chain first: what the most work waits for must not start last.
        for stage in reversed(with_needs(stages)):
            own = self._length.setdefault(stage.key, 0.0) + stage.cost
            for need in stage.needs:
                self._length[need.key] = max(self._length.get(need.key, 0.0), own)

    def __bool__(self) -> bool:
        """Whether a stage is unfinished."""
        return bool(self._unfinished)

    def next_ready(self) -> Stage | None:
        """Return the ready stage that most work waits for, and count it as started."""
        ready = [
            stage
            for stage in self._todo.values()
            if not any(need.key in self._unfinished for need in stage.needs)
        ]
        if not ready:
            return None
        best = max(ready, key=lambda stage: self._length[stage.key] + stage.cost)
        del self._todo[best.key]
        return best

    def finished(self, stage: Stage) -> None:
        """Note that a stage is in the store."""
        self._unfinished.discard(stage.key)

    def died_before(self, stage: Stage) -> bool:
        """Note that a worker died over a stage; return whether that happened before."""
        again = stage.key in self._deaths
        self._deaths.add(stage.key)
        return again

    def abandon(self, stage: Stage) -> list[Stage]:
        """Give up a failed stage and all that needs it; return the latter."""
        self._unfinished.discard(stage.key)
        lost: list[Stage] = []
        gone = {stage.key}
        for candidate in with_needs(self._todo.values()):
            if candidate.key in self._todo and any(need.key in gone for need in candidate.needs):
                gone.add(candidate.key)
                lost.append(candidate)
                del self._todo[candidate.key]
                self._unfinished.discard(candidate.key)
        return lost
