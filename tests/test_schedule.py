"""List scheduling: held to its bounds, to hand-made cases, and to every order there is."""

import random
from dataclasses import dataclass
from itertools import pairwise, permutations

import pytest

from benchbox.runs.schedule import chains, critical_path, in_order, schedule


@dataclass(frozen=True)
class Piece:
    key: str
    needs: tuple["Piece", ...] = ()
    seconds: float = 1.0
    on_device: bool = True


def took(piece):
    return piece.seconds


def random_pieces(seed, many):
    draw = random.Random(seed)
    pieces = []
    for number in range(many):
        needs = draw.sample(pieces, min(len(pieces), draw.randrange(3)))
        seconds = draw.choice([0.0, 1.0, 2.0, 5.0])
        pieces.append(Piece(str(number), tuple(needs), seconds, draw.random() < 0.7))
    draw.shuffle(pieces)
    return pieces


def check(done, pieces):
    """No worker does two things at once, nothing starts before what it needs, nothing is left."""
    ends = {one.task.key: one.end for one in done.placed}
    assert sorted(ends) == sorted(piece.key for piece in pieces)
    for one in done.placed:
        assert one.end == one.start + one.task.seconds
        assert all(ends[need.key] <= one.start for need in one.task.needs)
    for worker in {one.worker for one in done.placed}:
        own = sorted((one.start, one.end) for one in done.placed if one.worker == worker)
        assert all(first[1] <= second[0] for first, second in pairwise(own))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("devices", [1, 3, 40])
def test_a_schedule_keeps_order_and_bounds(seed, devices):
    pieces = random_pieces(seed, 40)
    done = schedule(pieces, took, devices=devices)
    check(done, pieces)
    total = sum(map(took, pieces))
    longest = sum(map(took, critical_path(pieces, took)))
    assert done.device_seconds == total
    assert max(longest, total / devices) <= done.makespan <= longest + total / devices
    if devices == 1:
        assert done.makespan == total
    if devices == 40:
        assert done.makespan == longest


@pytest.mark.parametrize("seed", range(20))
def test_what_needs_no_device_is_done_beside(seed):
    pieces = random_pieces(seed, 30)
    done = schedule(pieces, took, devices=2, beside=1)
    check(done, pieces)
    for one in done.placed:
        assert one.task.on_device == (one.worker < 2)
    assert done.device_seconds == sum(piece.seconds for piece in pieces if piece.on_device)
    assert done.utilisation == pytest.approx(done.device_seconds / (2 * done.makespan))


def best_of_all_orders(pieces, workers):
    """The shortest schedule over every order in which pieces can be handed out."""
    best = float("inf")
    for order in permutations(in_order(pieces)):
        ends, free = {}, [0.0] * workers
        for piece in order:
            if any(need.key not in ends for need in piece.needs):
                break
            worker = free.index(min(free))
            start = max([free[worker], *(ends[need.key] for need in piece.needs)])
            ends[piece.key] = free[worker] = start + piece.seconds
        else:
            best = min(best, max(ends.values()))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_a_schedule_is_near_the_best_there_is(seed):
    pieces = random_pieces(seed, 6)
    best = best_of_all_orders(pieces, workers=2)
    assert best <= schedule(pieces, took, devices=2).makespan <= 4 / 3 * best


def test_the_longest_chain_is_started_first():
    long = Piece("c", (Piece("b", (Piece("a"),)),))
    pieces = [*(Piece(f"single {number}") for number in range(3)), long, *long.needs]
    pieces += long.needs[0].needs
    done = schedule(pieces, took, devices=2)
    assert done.placed[0].task.key == "a"
    assert done.makespan == 3
    assert [piece.key for piece in critical_path(pieces, took)] == ["a", "b", "c"]


def test_needs_that_are_not_among_the_tasks_are_done():
    behind = Piece("behind", (Piece("before", seconds=9.0),))
    assert schedule([behind], took, devices=1).makespan == 1
    assert chains([behind], took)["behind"] == 1


def test_a_deep_chain_is_no_deeper_than_the_stack():
    last = Piece("0")
    pieces = [last]
    for number in range(1, 5000):
        last = Piece(str(number), (last,))
        pieces.append(last)
    assert schedule(pieces, took, devices=8).makespan == 5000


def test_nothing_takes_no_time():
    done = schedule([], took, devices=4)
    assert (done.makespan, done.device_seconds, done.utilisation) == (0, 0, 0)
