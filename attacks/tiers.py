"""What the worst case is made of, cheapest first.

Chosen on Sidewalk-A's demo models (Adv_train, DAS, DDD, BS+MS at 8/255) and judged on Sidewalk-B's.
What was tried there and left out, because it took less off for the same number of gradients: the
margin, moving towards one of the nearest identities, other temperatures, going on from the worst
point with smaller steps. 19 steps of Auto-PGD leave an mAP of 3.9, 2.8, 3.0 and 1.7, as many by
Adam with a step size that falls to zero 3.8, 2.6, 2.8 and 1.2. Sign steps of falling size, with
momentum or without, were never below Adam's on the three trained models (BS+MS was not tried).

Starting anew elsewhere (from where the distance to the matches is large, from a softer objective)
helps the few queries that nothing else moves; the mean is theirs in the end, so the later parts
meet only those above chance. 100 steps from the clean image and 60, 60 and 40 of Auto-PGD from the
others left 3.32, 2.15, 2.42 and 0.96 at 12 to 14 times the cost of FNA with 16 steps; these leave
3.34, 2.13, 2.42 and 0.99 at 7 to 10 times.

Being at chance is not being finished: where the gallery is small, chance is an AP of 2 or 3 %, and
an ascent that goes on leaves a third of it.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from attacks.rank_objectives import TEMPERATURE

Tier = Literal["fast", "full", "longer"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One ascent of the ensemble.

    Attributes:
        name: in records; seeds its random starts.
        objective: what it raises: 1 − smoothed AP, or the mean distance to the matches.
        temperature: of the smoothed AP, in units of the embeddings' root mean square length.
        ascent: which takes the steps: Adam, whose step size falls to zero on schedule, or Auto-PGD,
            which halves it where an image asks for it.
        steps: of the ascent.
        reach: the size of its first steps, in budgets; Auto-PGD's paper has 2.
        start: at the clean image, in a random corner of the ball, or where the last part ended,
            whatever that was worth.
        on: which queries it meets: all that are not finished, or those still above chance.
    """

    name: str
    objective: Literal["smooth_ap", "match_distance"] = "smooth_ap"
    temperature: float = TEMPERATURE
    ascent: Literal["adam", "apgd"] = "apgd"
    steps: int
    reach: float = 2.0
    start: Literal["clean", "corner", "last"]
    on: Literal["unfinished", "above_chance"] = "unfinished"


_FAST = (Part(name="smooth_ap", ascent="adam", steps=19, reach=2.5, start="clean"),)
_FULL = (
    *_FAST,
    Part(name="long", ascent="adam", steps=80, reach=2.5, start="clean"),
    Part(
        name="match_distance",
        objective="match_distance",
        steps=10,
        start="clean",
        on="above_chance",
    ),
    Part(
        name="from_match_distance",
        ascent="adam",
        steps=40,
        reach=2.5,
        start="last",
        on="above_chance",
    ),
    Part(name="soft", temperature=0.2, steps=10, start="clean", on="above_chance"),
    Part(name="from_soft", ascent="adam", steps=30, reach=2.5, start="last", on="above_chance"),
    Part(name="corner", ascent="adam", steps=20, reach=2.5, start="corner", on="above_chance"),
)
_LONGER = tuple(replace(part, steps=2 * part.steps) for part in _FULL)
PARTS = MappingProxyType({"fast": _FAST, "full": _FULL, "longer": _LONGER})
"""The parts of each tier, in order; `longer` is there to see what `full` left to be taken."""
