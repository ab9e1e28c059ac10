"""``benchbox evaluate``: one model's row, without writing a grid."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from benchbox.cli.options import Pattern
from benchbox.cli.reporting import write_report_of
from benchbox.errors import BenchboxError
from benchbox.files.console import make_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from defenses import Defense

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def evaluate(
    builder: Annotated[
        str,
        typer.Argument(
            help="FILE.py:NAME, a function that returns the model, a Given or a Defense with one; "
            "or one of benchbox's own builders by name."
        ),
    ],
    on: Annotated[list[str], typer.Option("--on", help="Test dataset; repeatable.")],
    weights: Annotated[Path | None, typer.Option(help="The checkpoint to load.")] = None,
    attacks: Annotated[
        str, typer.Option(help="Names, separated by commas or spaces.")
    ] = "fna sma ifgsm",
    budgets: Annotated[str, typer.Option(help="L∞ budgets, likewise.")] = "8/255 10/255",
    image_size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the model's input [default: 256x128].")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Three numbers, or none [default: ImageNet's].")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    distance: Annotated[
        str | None, typer.Option(help="euclidean or cosine [default: euclidean].")
    ] = None,
    interpolation: Annotated[
        str | None, typer.Option(help="bilinear, bicubic, … [default: bilinear].")
    ] = None,
    pixel_range: Annotated[str | None, typer.Option(help="0-1 or 0-255.")] = None,
    channels: Annotated[str | None, typer.Option(help="rgb or bgr.")] = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Mean of the image's and its mirror's embedding.")
    ] = False,
    trained_on: Annotated[
        str | None, typer.Option(help="Dataset it was trained on, as you state it.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Its architecture, for tables.")] = None,
    name: Annotated[str | None, typer.Option(help="The row's name [default: builder's].")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder [default: runs/NAME].")] = None,
    pattern: Pattern = None,
    sidewalk_size: Annotated[str, typer.Option(help="tiny, small or full.")] = "tiny",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core.")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Images at a time; 0: 64 or 256.")] = 0,
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", help="A file with an attack; repeatable.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder with the datasets.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Measure a model that was trained elsewhere: clean, and under attack."""
    from benchbox.evaluating import evaluate_row, plan_row
    from benchbox.models.given import Given
    from benchbox.runs.options import Options
    from defenses import Defense

    said: dict[str, Any] = {
        "weights": weights,
        "image_size": _size(image_size),
        "mean": _numbers("--mean", mean),
        "std": _numbers("--std", std),
        "distance": distance,
        "interpolation": interpolation,
        "pixel_range": pixel_range,
        "channels": channels,
        "flip_test": flip_test or None,
        "trained_on": trained_on,
        "backbone": backbone,
    }
    changes: dict[str, Any] = {
        key: None if value == "none" else value for key, value in said.items() if value
    }
    file, found = _named(builder)
    given = replace(found.model, **changes) if found and found.model else None
    given = given or Given(builder=builder, **changes)
    row = name or (found.name if found else given.name)
    row = _NOT_IN_NAMES.sub("_", row.lower()).strip("_")
    keys = {
        "name": row,
        "datasets": on,
        "defenses": [row],
        "attacks": attacks.replace(",", " ").split(),
        "budgets": budgets.replace(",", " ").split(),
        "sidewalk_size": sidewalk_size,
        "dataset": {n: {"pattern": pattern} for n in on if pattern and n.startswith("path:")},
    }
    defense = Defense(
        name=row,
        title=name or (found.title if found else given.name),
        model=given,
        guard=found.guard if found else None,
        source=found.source if found else "given",
    )
    options = Options(
        device=device,
        plugins=tuple(plugin or ()),
        builders=(file,) if file else (),
        workers=workers,
        batch_size=batch_size,
        data_root=data_root,
    )
    console = make_console()
    if dry_run:
        for part in plan_row(defense, keys, options):
            console.print(part, soft_wrap=isinstance(part, str), highlight=False, markup=False)
        return
    folder = out or Path("runs") / row
    evaluate_row(defense, keys, folder, options, console)
    write_report_of(folder, console, depth="results")


def _named(builder: str) -> "tuple[Path | None, Defense | None]":
    """Return the file of ``FILE.py:NAME`` and what the name stands for, as a row.

    Raises:
        BenchboxError: the file or the name is not there, or it stands for no given model.
    """
    from benchbox.models.given import Given
    from benchbox.models.given_building import call_builder
    from benchbox.runs.plugins import plugin_module
    from defenses import Defense

    path, colon, name = builder.rpartition(":")
    if not colon:
        return None, None
    file = Path(path)
    module = plugin_module(file)
    found: object = getattr(module, name, None)
    if found is None or not (callable(found) or isinstance(found, Given | Defense)):
        fit = [k for k, v in vars(module).items() if callable(v) or isinstance(v, Given | Defense)]
        known = ", ".join(key for key in fit if not key.startswith("_")) or "nothing"
        raise BenchboxError(f"{builder}: {file} has no function {name!r}. It has: {known}.")
    if isinstance(found, Defense):
        if found.model is None:
            raise BenchboxError(
                f"{builder}: is trained by a recipe; put it into a grid and use benchbox run."
            )
        return file, found
    if not isinstance(found, Given):
        made = call_builder(found, name=builder)
        found = made if isinstance(made, Given) else Given(builder=_function(found))
    return file, Defense(name=found.name, title=found.name, model=found, source="given")


def _function(value: object) -> "Callable[[], nn.Module]":
    return cast("Callable[[], nn.Module]", value)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, times, width = text.lower().replace("×", "x").partition("x")
    if not times or not height.isdecimal() or not width.isdecimal():
        raise BenchboxError(f"--image-size {text}: expected HEIGHTxWIDTH, such as 256x128.")
    return int(height), int(width)


def _numbers(option: str, text: str | None) -> "tuple[float, ...] | str | None":
    if text is None or text == "none":
        return text
    try:
        numbers = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise BenchboxError(f"{option} {text}: expected three numbers, such as 0.5,0.5,0.5.")
    return numbers
