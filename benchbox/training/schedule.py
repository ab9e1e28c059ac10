"""The learning rate as a pure function of progress, so that resuming needs no scheduler state."""

import math

from benchbox.training.recipe import Training


def rate_factor(training: Training, epoch: float) -> float:
    """Return what ``training.lr`` is multiplied by at a point in training.

    Args:
        training: the schedule and its parameters.
        epoch: epochs done, with the fraction of the current one, in [0, training.epochs).
    """
    if training.schedule == "one_cycle":
        return _one_cycle(epoch / training.epochs)
    decay = training.gamma ** sum(epoch >= milestone for milestone in training.milestones)
    if epoch < training.warmup_epochs:
        return decay * (0.1 + 0.9 * epoch / training.warmup_epochs)
    return decay


def _one_cycle(
    done: float, *, rise: float = 0.2, start: float = 1 / 25, end: float = 1e-4
) -> float:
    """One cosine up from ``start`` over the share ``rise``, one cosine down to start × end.

    The shape and its constants are torch's OneCycleLR (Smith and Topin 2019), but for ``rise``
    (0.3 there).
    """
    if done < rise:
        low, high, share = start, 1.0, done / rise
    else:
        low, high, share = 1.0, start * end, (done - rise) / (1 - rise)
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2
