"""The resolved plan of a grid, as a person reads it before anything runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from benchbox.runs.plan import Plan
from benchbox.runs.stages import of_255


def plan_tables(plan: Plan, missing: Mapping[str, str]) -> list[RenderableType]:
    """Return the plan's settings, rows and stages, and what is amiss with its datasets.

    Args:
        plan: from :func:`benchbox.runs.runner.preview`.
        missing: dataset name → why it cannot be used yet.
    """
    parts: list[RenderableType] = [_settings(plan), _rows(plan), _counts(plan)]
    parts += [f"not ready: {reason}" for reason in missing.values()]
    return parts


def _settings(plan: Plan) -> Table:
    grid = plan.grid
    table = Table(
        title=f"{grid.name}: {grid.title}" if grid.title else grid.name, show_header=False
    )
    budgets = ", ".join(map(of_255, grid.budgets))
    step = of_255(grid.step_size)
    for key, value in {
        "datasets": ", ".join(grid.datasets),
        "sidewalk size": grid.sidewalk_size if "sidewalk" in str(grid.datasets) else "",
        "transfers": ", ".join(f"{a} → {b}" for a, b in grid.transfers) or "none",
        "backbones": ", ".join(grid.backbones),
        "pretrained": str(grid.pretrained),
        "image size": f"{grid.image_size[0]} × {grid.image_size[1]}",
        "attacks": f"clean, {', '.join(grid.attacks)}",
        "budgets": f"{budgets}; {grid.steps} steps of {step}",
        "guides": f"{grid.guides}, {grid.distance} distance",
        "average precision": grid.ap,
        "precision": grid.precision,
        "seeds": ", ".join(map(str, grid.seeds)),
    }.items():
        if value:
            table.add_row(key, value)
    return table


def _rows(plan: Plan) -> Table:
    table = Table("defense", "recipe", "guard", "training", title="rows")
    for name, defense in plan.defenses.items():
        recipe = asdict(defense.recipe)
        training: dict[str, Any] = recipe.pop("training")
        own = ", ".join(f"{key} {_short(value)}" for key, value in recipe.items())
        table.add_row(
            name,
            f"{defense.recipe.name}: {own}",
            _described(defense.guard) if defense.guard else "none",
            f"{training['epochs']} epochs of {training['batch_identities']}×"
            f"{training['batch_images']}, {training['optimizer']}, lr {training['lr']:g}, "
            f"{training['schedule']}, {training['precision']}",
        )
    return table


def _described(guard: object) -> str:
    """Return a guard as ``BitSqueezing(bits 5)``, the guards inside it alike."""
    inner = ", ".join(
        _described(value) if is_dataclass(value) else f"{field.name} {_short(value)}"
        for field in (fields(guard) if is_dataclass(guard) else ())
        for value in (getattr(guard, field.name),)
    )
    return f"{type(guard).__name__}({inner})"


def _short(value: object) -> str:
    if isinstance(value, float) and 0 < value < 1 and (value * 255) == round(value * 255):
        return f"{round(value * 255)}/255"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counts(plan: Plan) -> str:
    counts = Counter(stage.kind for stage in plan.stages)
    stages = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return f"{len(plan.cells)} cells from {len(plan.stages)} stages: {stages}"
