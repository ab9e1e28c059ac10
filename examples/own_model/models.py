"""What benchbox is told of the model: how to build it, and what it needs to be used rightly."""

from network import SmallNet

from benchbox import Given


def small_net() -> SmallNet:
    """Return the network without its classifier; the checkpoint's tensors go into it."""
    return SmallNet()


def small_net_as_trained() -> Given:
    """Return the network with the input it was trained for, and the distance it is ranked by."""
    return Given(
        builder=small_net,
        image_size=(64, 32),
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        distance="cosine",
        trained_on="sidewalk-a",
    )
