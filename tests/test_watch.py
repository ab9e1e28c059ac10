"""What a person sees while work goes on."""

import io

import pytest
from rich.console import Console

from benchbox.files import watch as watch_module
from benchbox.files.watch import Watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed, for a test to set."""
    now = [100.0]
    monkeypatch.setattr(watch_module.time, "monotonic", lambda: now[0])
    return now


def test_lines_without_a_terminal_count_pieces_and_tell_what_is_left(clock: list[float]) -> None:
    stream = io.StringIO()
    with Watch(Console(file=stream, width=80), "all", {"a": 1.0, "b": 3.0}) as watch:
        watch.begin("a", "first")
        watch.counted_line("begun")
        clock[0] += 10
        watch.move("a", 0.5, "half")
        watch.counted_line("half of a")  # 1/8 of the cost in 10 s leaves 70 s
        clock[0] += 10
        watch.end("a")
        watch.counted_line("a")  # 1/4 of the cost in 20 s leaves 60 s
        watch.end("b")
        watch.counted_line("b")
        watch.line("[red]a plain[/red] line")
    assert stream.getvalue().splitlines() == [
        "[0/2] begun · estimating",
        "[0/2] half of a · about 0:01:10 left",
        "[1/2] a · about 0:01:00 left",
        "[2/2] b · nearly done",
        "[red]a plain[/red] line",
    ]


def test_a_piece_that_starts_anew_keeps_one_bar_and_counts_once() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    with Watch(console, "all", {"a": 1.0}) as watch:
        for share in (0.9, 0.2):  # the worker died at 90 %, the work began again
            watch.begin("a", "first")
            watch.move("a", share, f"at {share}")
        watch.counted_line("running")
        watch.end("a")
        watch.end("a")
        watch.counted_line("over")
    shown = stream.getvalue()
    assert "[0/1] running" in shown
    assert "[1/1] over" in shown


def test_no_work_at_all_is_no_division_by_zero() -> None:
    stream = io.StringIO()
    with Watch(Console(file=stream), "all", {}) as watch:
        watch.counted_line("nothing to do")
    assert stream.getvalue() == "[0/0] nothing to do · estimating\n"
