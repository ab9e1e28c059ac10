"""Rendering chunks of tracklets to PNG files, in this process or in several."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from PIL import Image

from benchbox.data.digest import pixels_digest
from benchbox.data.sidewalk.plan import Tracklet
from benchbox.data.sidewalk.render import Walk
from benchbox.data.sidewalk.sizes import Spec
from benchbox.errors import BenchboxError

Digests = list[tuple[str, str]]
"""Pairs of an image's key and the digest of its pixels."""


def rendered(
    spec: Spec, seed: int, folder: Path, chunks: Sequence[Sequence[Tracklet]], workers: int
) -> Generator[Digests, None, None]:
    """Yield the digests of each chunk's images as it is done, in any order.

    Whoever stops early closes the generator, which waits until nobody writes any more.
    """
    if workers == 1:
        for chunk in chunks:
            yield _render_chunk(spec, seed, folder, chunk)
        return
    with ProcessPoolExecutor(
        min(workers, len(chunks)), multiprocessing.get_context("spawn"), _end_with_parent
    ) as pool:
        jobs = [pool.submit(_render_chunk, spec, seed, folder, chunk) for chunk in chunks]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BrokenProcessPool as error:
            raise BenchboxError(
                f"{folder}: a rendering process was ended from outside (out of memory?). "
                "Try fewer workers."
            ) from error
        finally:
            # Waiting here, not at the end of the block: a second shutdown would not wait.
            pool.shutdown(wait=True, cancel_futures=True)


def _render_chunk(spec: Spec, seed: int, folder: Path, tracklets: Sequence[Tracklet]) -> Digests:
    """Render tracklets into ``folder`` and return (key, pixels digest) of their images."""
    digests = []
    for tracklet in tracklets:
        for shot, pixels in Walk(spec, seed, tracklet).frames():
            # Noise hardly compresses: the default level makes files 9% smaller and takes longer.
            Image.fromarray(pixels).save(folder / shot.key, format="PNG", compress_level=1)
            digests.append((shot.key, pixels_digest(pixels)))
    return digests


def _end_with_parent() -> None:
    """Let this worker end when its parent does, even by SIGKILL: a pool's worker would not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            multiprocessing.connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
