"""What people look like: skin, hair, clothes, bags and hats, drawn per identity."""

from dataclasses import dataclass
from typing import Literal

from benchbox.data.sidewalk.dice import Dice

Colour = tuple[int, int, int]
Top = Literal["shirt", "jacket", "coat", "dress"]
Sleeve = Literal["none", "short", "long"]
Pattern = Literal[
    "plain", "hstripes", "vstripes", "checks", "block", "chest", "logo", "back", "dots"
]
Bottom = Literal["trousers", "shorts", "skirt", "long skirt"]
Trim = Literal["plain", "side stripe", "knee"]
Hair = Literal["bald", "short", "medium", "long", "ponytail", "bun", "curls"]
Hat = Literal["none", "cap", "beanie", "hood", "brim"]
Bag = Literal["none", "backpack", "satchel", "handbag", "tote"]

SKINS: tuple[Colour, ...] = (
    (238, 200, 176), (226, 182, 150), (208, 160, 124), (178, 128, 94), (138, 94, 66), (98, 66, 48),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (36, 30, 28), (62, 44, 34), (98, 66, 42), (150, 112, 66), (198, 166, 108), (128, 60, 38),
    (150, 148, 146),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fashion:
    """A domain's clothes: colours (sRGB, 0 to 255) and how common each style is (weights)."""

    uppers: tuple[Colour, ...]
    lowers: tuple[Colour, ...]
    shoes: tuple[Colour, ...]
    bags: tuple[Colour, ...]
    tops: dict[Top, int]
    sleeves: dict[Sleeve, int]
    patterns: dict[Pattern, int]
    bottoms: dict[Bottom, int]
    trims: dict[Trim, int]
    hats: dict[Hat, int]
    carried: dict[Bag, int]
    scarf: float


FASHIONS: dict[str, Fashion] = {
    "sidewalk-a": Fashion(
        uppers=(
            (226, 226, 222), (40, 40, 44), (132, 132, 134), (180, 46, 50), (42, 54, 102),
            (112, 160, 206), (60, 124, 76), (216, 188, 74), (216, 140, 160), (208, 114, 56),
            (114, 76, 142), (194, 172, 138),
        ),
        lowers=(
            (66, 88, 130), (122, 150, 188), (38, 38, 42), (112, 112, 116), (170, 148, 110),
            (206, 204, 200), (104, 78, 58), (92, 98, 66),
        ),
        shoes=((44, 42, 42), (222, 220, 216), (120, 84, 58), (170, 60, 58), (70, 86, 124)),
        bags=((40, 40, 44), (150, 52, 52), (58, 76, 120), (158, 122, 80), (196, 190, 178),
              (90, 110, 72)),
        tops={"shirt": 58, "jacket": 22, "dress": 14, "coat": 6},
        sleeves={"none": 12, "short": 58, "long": 30},
        patterns={"plain": 34, "hstripes": 14, "vstripes": 6, "checks": 10, "block": 9, "chest": 9,
                  "logo": 10, "back": 4, "dots": 4},
        bottoms={"trousers": 52, "shorts": 30, "skirt": 13, "long skirt": 5},
        trims={"plain": 80, "side stripe": 14, "knee": 6},
        hats={"none": 80, "cap": 12, "brim": 5, "hood": 1, "beanie": 2},
        carried={"none": 34, "backpack": 26, "satchel": 16, "handbag": 14, "tote": 10},
        scarf=0.02,
    ),
    "sidewalk-b": Fashion(
        uppers=(
            (66, 66, 72), (46, 62, 116), (172, 132, 88), (98, 108, 70), (136, 46, 58),
            (148, 150, 156), (52, 118, 126), (212, 204, 188), (188, 146, 54), (112, 68, 112),
        ),
        lowers=(
            (56, 72, 116), (40, 40, 44), (124, 126, 132), (112, 82, 60), (172, 148, 108),
            (84, 98, 78),
        ),
        shoes=((48, 44, 42), (112, 82, 60), (84, 84, 90), (190, 186, 180)),
        bags=((46, 46, 50), (132, 50, 52), (60, 80, 124), (156, 120, 76), (86, 108, 76),
              (196, 192, 184)),
        tops={"shirt": 14, "jacket": 48, "dress": 4, "coat": 34},
        sleeves={"none": 0, "short": 4, "long": 96},
        patterns={"plain": 36, "hstripes": 11, "vstripes": 3, "checks": 10, "block": 16,
                  "chest": 14, "logo": 5, "back": 4, "dots": 1},
        bottoms={"trousers": 86, "shorts": 2, "skirt": 8, "long skirt": 4},
        trims={"plain": 86, "side stripe": 9, "knee": 5},
        hats={"none": 50, "cap": 7, "brim": 3, "hood": 14, "beanie": 26},
        carried={"none": 30, "backpack": 40, "satchel": 14, "handbag": 10, "tote": 6},
        scarf=0.36,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Looks:
    """One person's looks, the same before every camera.

    Attributes:
        build: width of the body, 1 being the average.
        legs: the share of the legs in the height.
        open_front: half the angle, in degrees, by which a jacket stands open; 0 is closed.
        bands: how many stripes or checks the torso has.
        fit: width of the trousers, 1 being slim.
        side: +1 or -1, the side on which a bag hangs.
    """

    skin: Colour
    hair: Colour
    hair_style: Hair
    beard: bool
    glasses: bool
    build: float
    legs: float
    top: Top
    sleeve: Sleeve
    pattern: Pattern
    bands: int
    upper: Colour
    upper2: Colour
    inner: Colour
    contrast_sleeves: bool
    open_front: int
    bottom: Bottom
    trim: Trim
    fit: float
    lower: Colour
    lower2: Colour
    shoe: Colour
    tall_shoe: bool
    hat: Hat
    hat_colour: Colour
    scarf: bool
    scarf_colour: Colour
    bag: Bag
    bag_colour: Colour
    side: int
    stride: float


def _dyed(dice: Dice, colour: Colour, jitter: int = 14) -> Colour:
    """Return a colour near ``colour``: no two people's red is the same."""
    lightness = dice.below(2 * jitter + 1) - jitter
    red, green, blue = (
        min(250, max(12, value + lightness + dice.below(jitter) - jitter // 2)) for value in colour
    )
    return red, green, blue


def dress(dice: Dice, fashion: Fashion) -> Looks:
    """Return the looks of a person of a domain."""
    long_haired = dice.chance(0.45)
    hair_style: Hair = (
        dice.weighted({"long": 34, "ponytail": 26, "medium": 22, "bun": 12, "curls": 6})
        if long_haired
        else dice.weighted({"short": 74, "bald": 9, "curls": 9, "medium": 8})
    )
    top = dice.weighted(fashion.tops)
    if top == "dress" and not long_haired:
        top = "shirt"
    bottom = dice.weighted(fashion.bottoms)
    if bottom in ("skirt", "long skirt") and not long_haired:
        bottom = "trousers"
    upper = dice.pick(fashion.uppers)
    upper2 = dice.pick([colour for colour in fashion.uppers if colour != upper])
    lower = dice.pick(fashion.lowers)
    lower2 = dice.pick([colour for colour in fashion.lowers if colour != lower])
    worn_open = top in ("jacket", "coat") and dice.chance(0.5)
    return Looks(
        skin=_dyed(dice, dice.pick(SKINS), 6),
        hair=_dyed(dice, dice.pick(HAIRS), 8),
        hair_style=hair_style,
        beard=not long_haired and dice.chance(0.25),
        glasses=dice.chance(0.2),
        build=dice.between(0.88, 1.16) * (0.94 if long_haired else 1.0),
        legs=dice.between(0.97, 1.03),
        top=top,
        sleeve="long" if top in ("jacket", "coat") else dice.weighted(fashion.sleeves),
        pattern=dice.weighted(fashion.patterns),
        bands=3 + dice.below(5),
        upper=_dyed(dice, upper),
        upper2=_dyed(dice, upper2),
        inner=_dyed(dice, dice.pick(fashion.uppers)),
        contrast_sleeves=dice.chance(0.16),
        open_front=20 + dice.below(25) if worn_open else 0,
        bottom=bottom,
        trim=dice.weighted(fashion.trims),
        fit=dice.between(1.0, 1.4),
        lower=_dyed(dice, lower),
        lower2=_dyed(dice, lower2),
        shoe=_dyed(dice, dice.pick(fashion.shoes)),
        tall_shoe=dice.chance(0.12),
        hat=dice.weighted(fashion.hats),
        hat_colour=_dyed(dice, dice.pick(fashion.uppers)),
        scarf=dice.chance(fashion.scarf),
        scarf_colour=_dyed(dice, dice.pick(fashion.uppers)),
        bag=dice.weighted(fashion.carried),
        bag_colour=_dyed(dice, dice.pick(fashion.bags)),
        side=1 if dice.chance(0.5) else -1,
        stride=dice.between(0.30, 0.46),
    )
