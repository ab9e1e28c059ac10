"""A killed training goes on to the weights of an uninterrupted one, whatever a recipe remembers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchbox.training.loop import train
from benchbox.training.recipe import Recipe
from defenses import AdvTrain, Fare, Goat, HardnessManipulation, LgprAdversarial, WorstCaseTraining
from tests.test_training import CPU, SHORT, TinyModel, made_data

TRAINING = replace(SHORT, epochs=2)


@pytest.mark.parametrize(
    "recipe",
    [
        Goat(steps=2, training=TRAINING),
        HardnessManipulation(steps=2, training=TRAINING),
        Fare(steps=2, training=TRAINING),
        LgprAdversarial(steps=2, training=TRAINING),
        WorstCaseTraining(steps=2, gallery="training_set", training=TRAINING),
        AdvTrain(steps=2, awp=0.01, training=TRAINING),
    ],
    ids=lambda recipe: recipe.name,
)
def test_a_killed_training_ends_as_if_it_had_not_been(recipe: Recipe, tmp_path: Path) -> None:
    def kill(done: float, text: str) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    def trained(folder: Path, **options) -> TinyModel:
        model = TinyModel()
        train(recipe, model, made_data(), seed=0, folder=folder, device=CPU, **options)
        return model

    whole = trained(tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", progress=kill)
    for name, value in trained(tmp_path / "killed").state_dict().items():
        assert torch.equal(value, whole[name]), name
