"""How many identities and images each Sidewalk has, per domain and size."""

from dataclasses import dataclass

from benchbox.errors import unknown_name

VERSION = 1
"""Goes up whenever a pixel or a name changes; every digest and seed depends on it."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The long tail of images per identity: minimum, quartiles and maximum."""

    low: int
    quarter: int
    median: int
    three_quarters: int
    high: int


@dataclass(frozen=True, slots=True)
class Spec:
    """One Sidewalk's numbers.

    Attributes:
        domain: its name, ``sidewalk-a`` or ``sidewalk-b``.
        size: ``tiny``, ``small`` or ``full``.
        cameras: how many cameras see the place.
        train_ids: how many training identities there are.
        train_images: how many images they have.
        test_ids: how many identities query and gallery share.
        queries: how many query images there are, one per (identity, camera).
        matches: how many gallery images show the query identities.
        strays: how many gallery images have pid 0 (Market-1501's distractors).
        loner_ids: how many gallery identities one camera alone sees (DukeMTMC-reID has 408).
        loner_images: how many images they have.
        train_camera_mean: how many cameras see a training identity, on average.
        tail: how images are spread over the training identities; the test split has the same
            shape.
    """

    domain: str
    size: str
    cameras: int
    train_ids: int
    train_images: int
    test_ids: int
    queries: int
    matches: int
    strays: int
    loner_ids: int
    loner_images: int
    train_camera_mean: float
    tail: Tail

    @property
    def gallery(self) -> int:
        """How many gallery images there are, distractors included."""
        return self.matches + self.strays + self.loner_images

    @property
    def images(self) -> int:
        """How many images there are in all."""
        return self.train_images + self.queries + self.gallery


A, B = "sidewalk-a", "sidewalk-b"
DOMAINS: tuple[str, ...] = (A, B)
SIZES: tuple[str, ...] = ("tiny", "small", "full")

# The full sizes are Market-1501's and DukeMTMC-reID's own numbers; B's long tail is
# DukeMTMC-reID's train split. Market-1501 publishes 2 to 72 images and a mean of 17.2.
_SPECS = {
    (spec.domain, spec.size): spec
    for spec in (
        Spec(A, "tiny", 6, 100, 1200, 40, 140, 440, 16, 0, 0, 3.8, Tail(5, 8, 10, 14, 56)),
        Spec(A, "small", 6, 180, 2800, 100, 400, 1500, 80, 0, 0, 4.2, Tail(5, 10, 13, 18, 72)),
        Spec(A, "full", 6, 751, 12936, 750, 3368, 13115, 2798, 0, 0, 4.5, Tail(4, 10, 15, 22, 72)),
        Spec(B, "tiny", 8, 100, 1200, 40, 140, 440, 0, 8, 24, 3.2, Tail(5, 8, 10, 13, 64)),
        Spec(B, "small", 8, 180, 3200, 100, 330, 1700, 0, 40, 160, 3.2, Tail(6, 12, 15, 20, 120)),
        Spec(
            B, "full", 8, 702, 16522, 702, 2228, 14361, 0, 408, 3300, 3.2, Tail(6, 16, 20, 27, 426)
        ),
    )
}


def spec_of(domain: str, size: str) -> Spec:
    """Return the numbers of a Sidewalk.

    Raises:
        BenchboxError: there is no such domain or size.
    """
    if domain not in DOMAINS:
        raise unknown_name("Sidewalk domain", domain, DOMAINS)
    if size not in SIZES:
        raise unknown_name("Sidewalk size", size, SIZES)
    return _SPECS[domain, size]
