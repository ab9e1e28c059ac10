"""The resolved plan of a grid, as a person reads it before anything runs."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass

from rich.console import RenderableType
from rich.table import Table

from attacks.corruption import Corruption
from benchbox.models.given import Given
from benchbox.runs.attack_settings import pace_of
from benchbox.runs.grid import Grid
from benchbox.runs.memory import memory_in_words
from benchbox.runs.plan import Plan
from benchbox.runs.reach import is_beyond_reach
from benchbox.runs.stages import of_255
from benchbox.runs.unused import unused
from benchbox.training.recipe import Recipe, Training

_FEW = 5
"""Corruptions that a plan names one by one."""


def plan_tables(plan: Plan, missing: Mapping[str, str]) -> list[RenderableType]:
    """Return the plan's settings, rows and stages, and what is amiss with its datasets.

    Args:
        plan: from :func:`benchbox.runs.runner.preview`.
        missing: dataset name → why it cannot be used yet.
    """
    parts: list[RenderableType] = [_settings(plan), _rows(plan), _counts(plan)]
    parts += _beyond_reach(plan)
    parts += unused(plan)
    parts += [f"not ready: {reason}" for reason in missing.values()]
    return parts


def _settings(plan: Plan) -> Table:
    grid = plan.grid
    table = Table(
        title=f"{grid.name}: {grid.title}" if grid.title else grid.name, show_header=False
    )
    budgets = ", ".join(map(of_255, grid.budgets))
    step = of_255(grid.step_size)
    # A given model has a network and a size of its own, which its row says.
    trains = any(defense.recipe is not None for defense in plan.defenses.values())
    height, width = grid.image_size
    for key, value in {
        "datasets": ", ".join(grid.datasets),
        "sidewalk size": grid.sidewalk_size if "sidewalk" in str(grid.datasets) else "",
        "of one dataset": "; ".join(
            f"{name}: {', '.join(f'{key} {value}' for key, value in own.items())}"
            for name, own in grid.dataset.items()
        ),
        "transfers": ", ".join(f"{a} → {b}" for a, b in grid.transfers) or "none",
        "validation": "on identities held out of training, not on test queries"
        if grid.validation
        else "",
        "backbones": ", ".join(grid.backbones) if trains else "",
        "pretrained": str(grid.pretrained) if trains else "",
        "image size": f"{height} × {width}" if trains else "",
        "training protocol": "" if grid.training_protocol == "not stated" else _protocol(grid),
        "attacks": f"clean, {', '.join(grid.attacks)}",
        "budgets": f"{budgets}; {grid.steps} steps of {step}" if plan.attacks else "",
        "guides": f"{grid.guides}, {grid.distance} distance" if plan.attacks else "",
        "corruptions": _corruption(plan.corruption) if plan.corruption else "",
        "of one attack": _own_settings(plan),
        "black box": f"queries attacked on {', '.join(grid.sources)}" if grid.sources else "",
        "adversarial images": "rounded to 8 bits" if grid.eight_bit else "",
        "trained rows": _in_use(grid),
        "attacked again": f"through JPEG {grid.jpeg_quality}" if grid.through == "jpeg" else "",
        "average precision": grid.ap,
        "rankings": ", ".join(grid.rankings) if plan.reranked else "",
        "precision": grid.precision,
        "seeds": ", ".join(map(str, grid.seeds)),
        "memory of a worker": f"beside the model: {memory_in_words(plan)}",
    }.items():
        if value:
            table.add_row(key, value)
    return table


def _protocol(grid: Grid) -> str:
    """Return how rows are trained beside each other, and what departs from it."""
    return "; ".join([grid.training_protocol, *(f"{n}: {s}" for n, s in grid.deviations.items())])


def _corruption(corruption: Corruption) -> str:
    """Return ``20 at severities 1 2 3 4 5, 10 repeats``; single ones by their names."""
    names = corruption.corruptions
    which = ", ".join(names) if len(names) <= _FEW else str(len(names))
    severities = " ".join(map(str, corruption.severities))
    return f"{which} at severities {severities}, {corruption.repeats} repeats"


def _in_use(grid: Grid) -> str:
    """Return how trained models are used, where it is not the plain way."""
    ranked = "ranked by the cosine" if grid.ranked_by == "cosine" else ""
    mirror = "mean of image and mirror" if grid.flip_test else ""
    return ", ".join(filter(None, (mirror, ranked)))


def _beyond_reach(plan: Plan) -> list[str]:
    """Return a line for each attack with budgets that its steps do not come to."""
    lines = []
    for name, attack in plan.attacks.items():
        pace = pace_of(attack)
        beyond = [b for b in plan.grid.budgets_of(name) if is_beyond_reach(float(b * 255), *pace)]
        if beyond:
            step = pace.step_size_255
            lines.append(
                f"not reached: {name} at {', '.join(map(of_255, beyond))}: {pace.steps} steps of "
                f"{step:g}/255 come to {step * pace.steps:g}/255, and from the clean image "
                "larger budgets give what that gives; raise steps or step_size"
            )
    return lines


def _own_settings(plan: Plan) -> str:
    """Return what single attacks have of their own, as ``fna: steps 4, step_size 2/255``."""
    texts = []
    for name, attack in plan.attacks.items():
        if own := plan.grid.attack.get(name):
            said = {key: getattr(attack, key) for key in own if key != "budgets"}
            shown = [f"{key} {_short(value)}" for key, value in said.items()]
            if "budgets" in own:
                budgets = map(of_255, plan.grid.budgets_of(name))
                shown.append(f"budgets {' '.join(budgets)}")
            texts.append(f"{name}: {', '.join(shown)}")
    return "; ".join(texts)


def _rows(plan: Plan) -> Table:
    table = Table("defense", "recipe", "guard", "training", title="rows")
    for name, defense in plan.defenses.items():
        guard = _described(defense.guard) if defense.guard else "none"
        if defense.model is not None:
            what, how = _given(defense.model), _trained_on(defense.model)
            if defense.recipe is not None:
                what += f"; {_recipe(defense.recipe, 'training', 'start')}"
                how += f", then {_trained(defense.recipe.training)}"
            table.add_row(name, what, guard, how)
        elif defense.recipe is not None:
            recipe = defense.recipe
            table.add_row(name, _recipe(recipe, "training"), guard, _trained(recipe.training))
    return table


def _recipe(recipe: Recipe, *left_out: str) -> str:
    return f"{recipe.name}: {_parameters(recipe, leave_out=left_out)}"


def _trained(training: Training) -> str:
    return (
        f"{training.epochs} epochs of {training.batch_identities}×{training.batch_images}, "
        f"{training.optimizer}, lr {training.lr:g}, {training.schedule}, {training.precision}"
    )


def _trained_on(given: Given) -> str:
    return f"elsewhere, on {given.trained_on} (stated)" if given.trained_on else "elsewhere"


def _given(given: Given) -> str:
    """Return how a given model is used, as ``given: osnet, weights w.pth, 256×128, …``."""
    height, width = given.image_size
    inside = given.mean is None
    parts = [
        f"weights {given.weights.name}" if given.weights else "weights of the builder",
        f"{height}×{width} {given.interpolation}",
        f"{given.channels} {given.pixel_range}",
        "normalised inside" if inside else f"mean {_numbers(given.mean)} std {_numbers(given.std)}",
        given.distance + (", unit length" if given.scales else ""),
        *(["flip-test"] if given.flip_test else []),
        *([f"cameras as {given.cameras}"] if given.cameras else []),
        *([f"parts {given.parts}"] if given.parts is not None else []),
    ]
    return f"given: {given.name}, {', '.join(parts)}"


def _numbers(values: tuple[float, ...] | None) -> str:
    return " ".join(f"{value:g}" for value in values or ())


def _described(value: object) -> str:
    """Return a guard or a part of a recipe as ``BitSqueezing(bits 5)``, what is inside it alike."""
    return f"{type(value).__name__}({_parameters(value)})"


def _parameters(value: object, *, leave_out: Collection[str] = ()) -> str:
    """Return the fields of a dataclass as ``eps 8/255, steps 7``."""
    named = {
        field.name: getattr(value, field.name)
        for field in (fields(value) if is_dataclass(value) else ())
        if field.name not in leave_out
    }
    return ", ".join(
        _described(inner) if is_dataclass(inner) else f"{name} {_short(inner)}"
        for name, inner in named.items()
    )


def _short(value: object) -> str:
    if isinstance(value, float) and 0 < value < 1 and (value * 255) == round(value * 255):
        return f"{round(value * 255)}/255"
    if isinstance(value, tuple):
        return "+".join(map(_short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counts(plan: Plan) -> str:
    counts = Counter(stage.kind for stage in plan.stages)
    stages = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    others = "".join(
        f"{word}{len(found)} {kind}"
        for word, kind, found in (
            (", ", "re-ranked", plan.reranked),
            (" and ", "black-box cells", plan.black_box),
            (" and ", "targeted cells", plan.targeted),
        )
        if found
    )
    return f"{len(plan.cells)} cells{others} from {len(plan.stages)} stages: {stages}"
