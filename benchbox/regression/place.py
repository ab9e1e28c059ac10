"""What a cell of a baseline is: model, data, defense and attack, its seeds aside."""

from typing import NamedTuple

from benchbox.results.conditions import Condition


class Place(NamedTuple):
    """What was measured on what, the seeds aside.

    Attributes:
        train: the dataset that the models were trained on.
        test: the dataset whose queries were attacked.
        backbone: its name.
        defense: its name.
        condition: clean, or the attack with its budget.
    """

    train: str
    test: str
    backbone: str
    defense: str
    condition: Condition

    @property
    def data(self) -> str:
        """The dataset, or ``A → B`` for models trained on A and tested on B."""
        return self.train if self.train == self.test else f"{self.train} → {self.test}"

    @property
    def attack(self) -> str:
        """The attack as a table has it, its step size where it has one that is not the usual."""
        if self.condition.is_clean:
            return "clean"
        step_size = self.condition.step_size_255
        suffix = "" if step_size in (0, 1) else f" (step size {step_size:g}/255)"
        return f"{self.condition.attack} {self.condition.budget}{suffix}"

    def __str__(self) -> str:
        """Return the place in words, for messages."""
        attack = "clean"
        if not self.condition.is_clean:
            attack = f"{self.condition.attack} {self.condition.budget}"
            if self.condition.step_size_255:
                attack += f", step size {self.condition.step_size_255:g}/255"
        return f"{self.data}, {self.backbone}, {self.defense}, {attack}"
