"""Which stage is to be done next: the order that needs allow, the longest chain first."""

from collections.abc import Callable, Sequence

from benchbox.runs.executors.events import Done, Event, Failed, LeftOut, Noticed
from benchbox.runs.schedule import chains, in_order
from benchbox.runs.stages import Stage
from benchbox.runs.worker import Ended


class Waiting:
    """The stages still to be started, handed out when their needs are met."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._todo = {stage.key: stage for stage in stages}
        self._unfinished = set(self._todo)
        self._deaths: dict[str, int] = {}
        # Longest chain first: what the most work waits for must not start last.
        self._length = chains(stages, lambda stage: stage.cost.work)

    def __bool__(self) -> bool:
        """Whether a stage is unfinished."""
        return bool(self._unfinished)

    def next_ready(self, suits: Callable[[Stage], bool] = lambda _stage: True) -> Stage | None:
        """Return the ready stage that most work waits for, and count it as started.

        Args:
            suits: whether a stage may be done by whoever asks.
        """
        ready = [
            stage
            for stage in self._todo.values()
            if suits(stage) and not any(need.key in self._unfinished for need in stage.needs)
        ]
        if not ready:
            return None
        best = max(ready, key=lambda stage: self._length[stage.key])
        del self._todo[best.key]
        return best

    def finished(self, stage: Stage) -> None:
        """Note that a stage is in the store."""
        self._unfinished.discard(stage.key)

    def put_back(self, stage: Stage) -> int:
        """Make a stage ready again whose worker died; return how often that has happened."""
        self._todo[stage.key] = stage
        self._deaths[stage.key] = self._deaths.get(stage.key, 0) + 1
        return self._deaths[stage.key]

    def settle(self, stage: Stage, ended: Ended, notify: Callable[[Event], None]) -> None:
        """Note how a stage ended, and tell it; a failure takes down what needs the stage."""
        for text in ended.notices:
            notify(Noticed(stage, text))
        if ended.error is None:
            self.finished(stage)
            notify(Done(stage, ended.seconds))
            return
        notify(Failed(stage, ended.error))
        for lost in self.abandon(stage):
            notify(LeftOut(lost))

    def abandon(self, stage: Stage) -> list[Stage]:
        """Give up a failed stage and all that needs it; return the latter."""
        self._unfinished.discard(stage.key)
        lost: list[Stage] = []
        gone = {stage.key}
        for candidate in in_order(self._todo.values()):
            if any(need.key in gone for need in candidate.needs):
                gone.add(candidate.key)
                lost.append(candidate)
                del self._todo[candidate.key]
                self._unfinished.discard(candidate.key)
        return lost
