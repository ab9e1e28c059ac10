"""Which images a training set lacks, by Eq. 1 and 2 of the paper."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from defenses.ddd.balanced_set import Reason, Synthetic


def images_to_make(
    records: Iterable[tuple[int, int]], *, fill_to: int, camera_share: float, at_most: int = 0
) -> tuple[Synthetic, ...]:
    """Return the images that Eq. 1 and 2 ask for, sorted by identity, camera and number.

    Eq. 1: an identity with n_i < δ1 images gets δ1 − n_i. The paper gives no cameras for them:
    each goes to the camera of the identity that has the fewest images by then.

    Eq. 2: an identity whose largest share of one camera, max_c n_{i,c} / n_i, exceeds δ2 gets
    images of every camera of the set but that one, as many per camera as its mean over the
    cameras that see it, rounded (halves up). All numbers are the initial ones, so an identity
    may get both. Of equal shares the lowest camera's counts as the largest.

    Where the cap binds, Eq. 1 is served first, always the identity with the fewest images; then
    Eq. 2, one image per identity in turn.

    Args:
        records: (pid, camid) of each training image.
        fill_to: δ1.
        camera_share: δ2.
        at_most: the cap; 0 means none.
    """
    counts = _counts(records)
    cameras = sorted({camid for own in counts.values() for camid in own})
    fills: list[tuple[int, int, int]] = []
    others: list[tuple[int, int, int]] = []
    for pid, own in counts.items():
        fills += [(n, pid, camid) for n, camid in _fill(own, fill_to)]
        turns = enumerate(_other_cameras(own, cameras, camera_share))
        others += [(turn, pid, camid) for turn, camid in turns]
    chosen: list[tuple[Reason, int, int]] = [
        *(("fill", pid, camid) for _, pid, camid in sorted(fills)),
        *(("camera", pid, camid) for _, pid, camid in sorted(others)),
    ]
    numbers: Counter[tuple[int, int]] = Counter()
    made = []
    for reason, pid, camid in chosen[: at_most or None]:
        numbers[pid, camid] += 1
        made.append(Synthetic(pid, camid, numbers[pid, camid], reason))
    return tuple(sorted(made))


def mean_level(records: Iterable[tuple[int, int]]) -> int:
    """Return the mean number of images per identity, rounded, halves up."""
    counts = _counts(records)
    return _rounded(sum(own.total() for own in counts.values()), len(counts))


def _counts(records: Iterable[tuple[int, int]]) -> dict[int, Counter[int]]:
    counts: dict[int, Counter[int]] = {}
    for pid, camid in records:
        counts.setdefault(pid, Counter())[camid] += 1
    return counts


def _fill(own: Counter[int], level: int) -> Iterator[tuple[int, int]]:
    """Yield (images the identity has by then, camera of the next one) up to ``level``."""
    filled = own.copy()
    for number in range(own.total(), level):
        camid = min(filled, key=lambda camera: (filled[camera], camera))
        filled[camid] += 1
        yield number, camid


def _other_cameras(own: Counter[int], cameras: Sequence[int], camera_share: float) -> Iterator[int]:
    """Yield the camera of each image that Eq. 2 asks for, cameras in turn."""
    total = own.total()
    most = max(own, key=lambda camera: (own[camera], -camera))
    if own[most] / total > camera_share:
        for _ in range(_rounded(total, len(own))):
            yield from (camid for camid in cameras if camid != most)


def _rounded(total: int, parts: int) -> int:
    return (2 * total + parts) // (2 * parts) if parts else 0
