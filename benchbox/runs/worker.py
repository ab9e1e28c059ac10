"""One stage in one process: claim it, look again, do it, put it into the store."""

import signal
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from os import _exit, environ

import torch

from benchbox.errors import BenchboxError
from benchbox.files.faults import file_fault
from benchbox.runs.code import code_digest
from benchbox.runs.registry import load_registry
from benchbox.runs.stages import Stage
from benchbox.runs.workplace import Site, Workplace

REPORT_EVERY = 0.2
"""Seconds between progress messages of one worker."""


@dataclass(frozen=True)
class Advanced:
    """A worker says how far its stage is: ``share`` in [0, 1] and a word."""

    share: float
    text: str


@dataclass(frozen=True)
class Noted:
    """A worker says what a person should read while its stage goes on."""

    text: str


@dataclass(frozen=True)
class Ended:
    """A worker is done with its stage.

    Attributes:
        seconds: it took.
        error: the one line a user should read; None where all went well.
        notices: what a person should read, where nobody could be told on the way.
    """

    seconds: float
    error: str | None = None
    notices: tuple[str, ...] = ()


def do_stage(stage: Stage, place: Workplace) -> float:
    """Do one stage unless its artefact is there, and return the seconds its work took.

    Raises:
        BenchboxError: what the user can mend.
    """
    with place.store.claim(stage.kind, stage.key):
        done = place.store.manifest(stage.kind, stage.key)
        if done is not None:
            return done.seconds
        whole = stage.part_of
        if whole is not None and place.store.manifest(whole.kind, whole.key) is not None:
            return 0.0  # another run's pieces were joined meanwhile
        if code_digest(stage.sources) != stage.code_version:
            raise BenchboxError(
                f"{stage.title}: its code was changed since the run was planned; run the same "
                "command again."
            )
        started = time.monotonic()
        with place.store.building(stage.kind, stage.key) as folder:
            with torch.random.fork_rng(devices=[]):
                # Training and attacks have generators of their own; a random guard draws from
                # torch's, and has to draw the same when its numbers are recomputed.
                torch.manual_seed(0)
                try:
                    stage.work(place, folder)
                except OSError as error:
                    raise file_fault(error, doing=stage.title) from error
            seconds = time.monotonic() - started
            made = [place.store.recorded(piece.kind, piece.key) for piece in stage.pieces]
            seconds += sum(piece.seconds for piece in made if piece is not None)
            place.store.finish(
                folder,
                manifest={
                    "key": stage.key,
                    "kind": stage.kind,
                    "title": stage.title,
                    "settings": stage.settings(),
                    "seconds": seconds,
                    "device": str(place.device),
                    "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                    "torch": torch.__version__,
                },
            )
        for piece in stage.pieces:
            place.store.drop(piece.kind, piece.key)
        return time.monotonic() - started


def make_ready(site: Site) -> None:
    """Bring a process into the state in which stages are done; calling it again changes nothing.

    One torch thread: two single-threaded processes beat one process with two threads by far, and
    sums do not depend on the number of cores.

    Raises:
        BenchboxError: a plugin cannot be run here.
    """
    torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    load_registry(site.plugins, builders=site.builders)


def attempt(stage: Stage, place: Workplace) -> Ended:
    """Do one stage and say how it ended; whatever goes wrong becomes one line for the user."""
    started = time.monotonic()
    error: str | None = None
    try:
        do_stage(stage, place)
    except BenchboxError as problem:
        error = str(problem)
    except MemoryError:
        error = f"{stage.title}: out of memory; lower --batch-size or --workers."
    except Exception as problem:
        # Not the user's fault, so the traceback goes to a file and one line to the screen.
        log = place.store.root / "errors.log"
        with suppress(OSError), log.open("a") as stream:
            stream.write(f"{stage.title}\n{traceback.format_exc()}\n")
        error = f"{stage.title}: {type(problem).__name__}: {problem} (details in {log})"
    return Ended(time.monotonic() - started, error)


def serve(site: Site, channel: Connection, sees: str | None = None) -> None:
    """Do the stages that arrive on ``channel`` until it closes; the body of a worker process.

    Args:
        site: store, datasets, and the device of this worker.
        channel: stages come in, and what is said of them goes out.
        sees: the GPUs that there are for this process, as ``CUDA_VISIBLE_DEVICES`` names them;
            None: those of its parent. It is read once, when the first tensor goes to a GPU.
    """
    if sees is not None:
        environ["CUDA_VISIBLE_DEVICES"] = sees
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    make_ready(site)
    last = 0.0

    def report(share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_EVERY:
            last = time.monotonic()
            channel.send(Advanced(share, text))

    place = Workplace(site, report, lambda text: channel.send(Noted(text)))
    while True:
        try:
            stage: Stage = channel.recv()
        except EOFError:
            return
        channel.send(attempt(stage, place))


def _die_with_parent() -> None:
    """End this process when its parent is gone, even by SIGKILL: no orphan keeps computing."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        _exit(1)

    threading.Thread(target=watch, daemon=True).start()
