"""When a difference between a run and its baseline is called one."""

from dataclasses import dataclass

from benchbox.errors import BenchboxError


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """When a difference is called one.

    Attributes:
        minimum_effect: points of mAP a cell must at least fall or gain.
        level: probability of any false alarm in a table where nothing changed, above 0, below 0.5.
        two_sided: a gain beyond noise is red too: where no change should move robustness, a jump
            may be an attack that broke.
        trust_seeds: take models of the same seed for the same even if their weights differ, as on
            one machine with one version: a change of weights is then the change under test, not
            chance. Off by default, since harmless changes also start another random sequence.
        seed: what the resampling draws from; the same one gives the same bounds.
    """

    minimum_effect: float = 1.0
    level: float = 0.01
    two_sided: bool = False
    trust_seeds: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 0.5 or not 0 <= self.minimum_effect <= 100:
            raise BenchboxError(
                "expected a minimum effect of 0 to 100 points and an error rate above 0 and below "
                f"0.5, not {self.minimum_effect} and {self.level}."
            )
