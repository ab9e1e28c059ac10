"""The discriminator of clean and adversarial features (Zhou et al. 2025, Eq. 6–8)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchbox.errors import BenchboxError


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """How the discriminator is built, trained and weighed.

    The paper's values stand in a supplement that is not public; all of these are ours, found on
    held-out training identities of Sidewalk (``leaderboards/measured/tuning-sidewalk.csv``).

    Attributes:
        weight: how much L_E counts in the encoder's loss, 0 or more.
        hidden: width of the one hidden layer, 1 or more.
        lr: learning rate of the discriminator's own Adam, above 0.
        warmup: the share of the training, in [0, 1), in which D learns and L_E does not count yet.
    """

    weight: float = 0.1
    hidden: int = 256
    lr: float = 3e-3
    warmup: float = 0.25

    def __post_init__(self) -> None:
        if self.weight < 0 or self.hidden < 1 or self.lr <= 0:
            raise BenchboxError(
                f"adversary: expected weight ≥ 0, hidden ≥ 1 and lr > 0, got {self.weight!r}, "
                f"{self.hidden!r} and {self.lr!r}"
            )
        if not 0 <= self.warmup < 1:
            raise BenchboxError(
                f"adversary.warmup: expected a share of the training in [0, 1), got {self.warmup!r}"
            )

    def weight_at(self, done: float) -> float:
        """Return how much L_E counts when the share ``done`` of the training is over."""
        return 0.0 if done < self.warmup else self.weight


class Discriminator:
    """D: pooled features (B, D) to the logit of "this one is clean".

    E(x) of the paper is the encoder's feature, which the triplet loss reads too: before the neck,
    not of unit length. D standardises each of its dimensions over clean and adversarial features
    together, without learned scale or shift (ours): as they come, with components of a tenth, D
    takes two to three times the steps to tell as much.

    Args:
        dimensions: D, the width of the features.
        settings: the hidden layer's width and the learning rate.
        generator: what the initial weights are drawn from.
        device: the device it computes on.
    """

    def __init__(
        self,
        dimensions: int,
        settings: Adversary,
        *,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        first, last = nn.Linear(dimensions, settings.hidden), nn.Linear(settings.hidden, 1)
        for layer in (first, last):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                # As nn.Linear starts, but from a generator of our own.
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        norm = nn.BatchNorm1d(dimensions, affine=False, track_running_stats=False)
        self.network = nn.Sequential(norm, first, nn.LeakyReLU(0.2), last).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.lr)
        self._judged: list[Tensor] = []

    def loss(self, clean: Tensor, robust: Tensor) -> Tensor:
        """Return L_D = −E[log D(E(x))] − E[log(1 − D(E(x_adv)))] (Eq. 6)."""
        return _loss(*_logits(self.network, clean, robust))

    def learn(self, clean: Tensor, robust: Tensor) -> Tensor:
        """Take one step of max_D (Eq. 8) on detached features, and return L_D before it."""
        # Its own step, in full precision, also where the encoder runs under autocast.
        with torch.autocast(clean.device.type, enabled=False):
            logits = _logits(self.network, clean.detach().float(), robust.detach().float())
            loss = _loss(*logits)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
        self._judged.append(torch.stack([loss.detach(), _accuracy(*logits)]))
        return loss.detach()

    def judged(self) -> dict[str, float]:
        """Return mean L_D and accuracy, in [0, 1], over the batches since this was last asked.

        Each batch was judged before D learned from it.
        """
        loss, accuracy = torch.stack(self._judged).mean(0).tolist()
        self._judged.clear()
        return {"discriminator_loss": loss, "discriminator_accuracy": accuracy}

    def confusion(self, clean: Tensor, robust: Tensor) -> Tensor:
        """Return L_E = −L_D (Eq. 7), whose gradient reaches the encoder and not D."""
        fixed = {name: p.detach().clone() for name, p in self.network.named_parameters()}

        def network(features: Tensor) -> Tensor:
            logits: Tensor = functional_call(self.network, fixed, (features,))
            return logits

        # In full precision, as D learns, also where the encoder runs under autocast.
        with torch.autocast(clean.device.type, enabled=False):
            return -_loss(*_logits(network, clean, robust))

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up weights and optimiser state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _logits(
    network: Callable[[Tensor], Tensor], clean: Tensor, robust: Tensor
) -> tuple[Tensor, Tensor]:
    """Return D's logits of both, judged side by side: they are standardised together."""
    logits = network(torch.cat([clean, robust]))
    return logits[: len(clean)], logits[len(clean) :]


def _loss(clean_logits: Tensor, robust_logits: Tensor) -> Tensor:
    # log σ(z) and log(1 − σ(z)) = log σ(−z), which stay finite where σ saturates.
    return -F.logsigmoid(clean_logits).mean() - F.logsigmoid(-robust_logits).mean()


def _accuracy(clean_logits: Tensor, robust_logits: Tensor) -> Tensor:
    right = (clean_logits > 0).float().mean() + (robust_logits <= 0).float().mean()
    return right.detach() / 2
