"""What benchbox is told of the model: how to build it, and what it needs to be used rightly."""

from pathlib import Path

from network import SmallNet

from benchbox import Given
from defenses import Defense


def small_net() -> SmallNet:
    """Return the network without its classifier; the checkpoint's tensors go into it."""
    return SmallNet()


SMALL_NET = Defense(
    name="small_net",
    title="SmallNet",
    model=Given(
        builder=small_net,
        weights=Path(__file__).with_name("model.pth"),
        trained_on="sidewalk-a",
        image_size=(64, 32),
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        distance="cosine",
    ),
    source="examples/own_model of benchbox",
)
