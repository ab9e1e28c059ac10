"""The discriminator of clean and adversarial embeddings (Zhou et al. 2025, Eq. 6–8)."""

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

    The paper's values stand in a supplement that is not public; these are ours, tuned on held-out
    training identities of Sidewalk.

    Attributes:
        weight: how much L_E counts in the encoder's loss.
        hidden: width of the one hidden layer.
        lr: learning rate of the discriminator's own Adam.
    """

    weight: float = 0.1
    hidden: int = 256
    lr: float = 1e-3

    def __post_init__(self) -> None:
        if self.weight < 0 or self.hidden < 1 or self.lr <= 0:
            raise BenchboxError(
                f"adversary: expected weight ≥ 0, hidden ≥ 1 and lr > 0, got {self.weight!r}, "
                f"{self.hidden!r} and {self.lr!r}"
            )


class Discriminator:
    """D: embeddings (B, D) of unit length to the logit of "this one is clean".

    Args:
        dimensions: D, the width of the embeddings.
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
        self.network = nn.Sequential(
            nn.Linear(dimensions, settings.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(settings.hidden, 1),
        )
        for layer, width in ((self.network[0], dimensions), (self.network[2], settings.hidden)):
            for parameter in layer.parameters():
                # As nn.Linear starts, but from a generator of our own.
                nn.init.uniform_(parameter, -(width**-0.5), width**-0.5, generator=generator)
        self.network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.lr)

    def loss(self, clean: Tensor, robust: Tensor) -> Tensor:
        """Return L_D = −E[log D(E(x))] − E[log(1 − D(E(x_adv)))] (Eq. 6)."""
        return _loss(self.network(clean), self.network(robust))

    def learn(self, clean: Tensor, robust: Tensor) -> Tensor:
        """Take one step of max_D (Eq. 8) on detached embeddings, and return L_D before it."""
        # Its own step, in full precision, also where the encoder runs under autocast.
        with torch.autocast(clean.device.type, enabled=False):
            loss = self.loss(clean.detach().float(), robust.detach().float())
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
        return loss.detach()

    def confusion(self, clean: Tensor, robust: Tensor) -> Tensor:
        """Return L_E = −L_D (Eq. 7), whose gradient reaches the encoder and not D."""
        fixed = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        # In full precision, as D learns, also where the encoder runs under autocast.
        with torch.autocast(clean.device.type, enabled=False):
            clean_logits, robust_logits = (
                functional_call(self.network, fixed, (embeddings.to(fixed["0.weight"].dtype),))
                for embeddings in (clean, robust)
            )
            return -_loss(clean_logits, robust_logits)

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up weights and optimiser state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _loss(clean_logits: Tensor, robust_logits: Tensor) -> Tensor:
    # log σ(z) and log(1 − σ(z)) = log σ(−z), which stay finite where σ saturates.
    return -F.logsigmoid(clean_logits).mean() - F.logsigmoid(-robust_logits).mean()
