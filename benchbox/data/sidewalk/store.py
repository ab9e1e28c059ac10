"""Writing a Sidewalk to a folder, whole or not at all, and telling what a folder holds."""

import glob
import importlib.resources
import json
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchbox.data.digest import dataset_digest
from benchbox.data.sidewalk.plan import FOLDERS, GALLERY, QUERY, TRAIN, plan
from benchbox.data.sidewalk.sizes import VERSION, Spec, spec_of
from benchbox.data.sidewalk.workers import Digests, rendered
from benchbox.errors import BenchboxError
from benchbox.files.atomic import cannot_write, write_json
from benchbox.files.progress import Progress, silent

MANIFEST = "sidewalk.json"
_CHUNK = 24  # tracklets a task: long enough to pay for its way to a worker, a second of progress


def recorded_digest(domain: str, *, size: str, seed: int = 0) -> str | None:
    """Return the digest that this version of a Sidewalk must have, or None if none is recorded.

    Raises:
        BenchboxError: there is no such domain or size.
    """
    spec_of(domain, size)
    source = importlib.resources.files(__package__).joinpath("digests.json")
    recorded = json.loads(source.read_text(encoding="utf-8"))
    if recorded["version"] != VERSION:
        return None
    digest: str | None = recorded["digests"].get(domain, {}).get(size, {}).get(str(seed))
    return digest


def manifest(folder: Path) -> dict[str, Any] | None:
    """Return what ``sidewalk.json`` in a folder says, or None if there is no readable one."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def make(
    domain: str,
    out: Path,
    *,
    size: str = "tiny",
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
) -> str:
    """Render a Sidewalk into ``out``, in Market-1501's layout, and return its dataset digest.

    The images are written into a temporary folder beside ``out`` that is renamed at the end, so
    ``out`` is never half a dataset. A folder that already holds this Sidewalk is left as it is.

    Args:
        domain: ``sidewalk-a`` (like Market-1501) or ``sidewalk-b`` (like DukeMTMC-reID).
        out: the folder to make.
        size: ``tiny``, ``small`` or ``full``.
        seed: other seeds give other people and places.
        workers: processes; the pixels do not depend on it. They are spawned, so a script that
            asks for more than one needs the usual ``if __name__ == "__main__"``.
        progress: told after every few tracklets.

    Raises:
        BenchboxError: unknown domain or size, ``out`` holds something else or cannot be written,
            or the pixels are not the recorded ones.
    """
    return make_spec(
        spec_of(domain, size),
        out,
        seed=seed,
        workers=workers,
        progress=progress,
        expected=recorded_digest(domain, size=size, seed=seed),
    )


def make_spec(
    spec: Spec,
    out: Path,
    *,
    seed: int,
    workers: int,
    progress: Progress,
    expected: str | None,
) -> str:
    """Do what :func:`make` does for any numbers; ``expected`` is the digest to insist on."""
    if workers < 1:
        raise BenchboxError(f"workers = {workers}: expected 1 or more.")
    out = out.absolute()
    try:
        # Before the lock as well: a finished dataset may lie in a folder that cannot be written.
        finished = _finished_digest(spec, out, seed=seed, expected=expected)
        if finished is not None:
            return finished
        out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.parent / f".{out.name}.lock"):
            finished = _finished_digest(spec, out, seed=seed, expected=expected)
            if finished is not None:
                return finished
            for stale in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
                shutil.rmtree(stale)
            partial = Path(
                tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial")
            )
            try:
                digest = _fill(spec, partial, seed, workers=workers, progress=progress)
                if expected is not None and digest != expected:
                    raise _altered(spec, out, seed, recorded=expected, made=digest)
                partial.chmod(0o755)
                partial.replace(out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    return digest


def _described(spec: Spec, seed: int) -> dict[str, Any]:
    """Return the manifest of a Sidewalk, without its digest."""
    return {
        "domain": spec.domain,
        "size": spec.size,
        "seed": seed,
        "version": VERSION,
        "counts": {TRAIN: spec.train_images, QUERY: spec.queries, GALLERY: spec.gallery},
    }


def _finished_digest(spec: Spec, out: Path, *, seed: int, expected: str | None) -> str | None:
    """Return the digest of what ``out`` holds if it is this Sidewalk, None if it holds nothing.

    Raises:
        BenchboxError: it holds something else, or this Sidewalk with files missing.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    wanted = f"{spec.domain}, size {spec.size}, seed {seed}, version {VERSION}"
    found = manifest(out)
    if found is None:
        raise BenchboxError(
            f"{out}: exists and is no finished Sidewalk (no readable {MANIFEST}). "
            f"Name another folder for {wanted}, or delete this one."
        )
    digest = found.get("digest")
    described = {key: value for key, value in found.items() if key != "digest"}
    if described != _described(spec, seed) or not isinstance(digest, str):
        held = ", ".join(f"{key} {found.get(key)}" for key in ("size", "seed", "version"))
        raise BenchboxError(
            f"{out}: holds {found.get('domain')}, {held}; asked for {wanted}. "
            "Name another folder, or delete this one."
        )
    if expected is not None and digest != expected:
        raise _altered(spec, out, seed, recorded=expected, made=digest)
    for folder, count in found["counts"].items():
        present = sum(1 for _ in (out / folder).glob("*.png"))
        if present != count:
            raise BenchboxError(
                f"{out / folder}: has {present} images, expected {count}. "
                f"Delete {out} and make it again."
            )
    return digest


def _altered(spec: Spec, out: Path, seed: int, *, recorded: str, made: str) -> BenchboxError:
    return BenchboxError(
        f"{out}: the pixels of {spec.domain}, size {spec.size}, seed {seed}, version {VERSION} "
        f"are not the recorded ones (digest recorded {recorded}, made {made}), so results would "
        "not compare with others'. Delete the folder if it exists and make it again; if the "
        "digest differs again, report it with your NumPy version and processor."
    )


def _fill(spec: Spec, folder: Path, seed: int, *, workers: int, progress: Progress) -> str:
    """Render every image into ``folder``, write the manifest last, and return the digest."""
    for name in FOLDERS:
        (folder / name).mkdir()
    tracklets = plan(spec, seed)
    chunks = [tracklets[start : start + _CHUNK] for start in range(0, len(tracklets), _CHUNK)]
    digests: Digests = []
    with closing(rendered(spec, seed, folder, chunks, workers)) as rendering:
        for made in rendering:
            digests += made
            done, total = len(digests), spec.images
            progress(done / total, f"rendering {spec.domain} image {done} of {total}")
    digest = dataset_digest(digests)
    write_json(folder / MANIFEST, _described(spec, seed) | {"digest": digest})
    return digest
