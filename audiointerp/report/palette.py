"""One colour-blind-safe palette, fixed per meaning across all studies (after Okabe and Ito)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D98A00", "#009E73", "#C2609A"
SKY, VERMILION, VIOLET, OLIVE = "#3E9BD1", "#D55E00", "#6A4C9C", "#7A7A1F"

FACTORS = (BLUE, VERMILION, GREEN, PINK, ORANGE, VIOLET, SKY, OLIVE)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""Shapes that go with `FACTORS`, so that classes are told apart without colour too."""

KNOWN_FACTORS = {
    "material": BLUE,
    "digit": BLUE,
    "instrument": BLUE,
    "action": VERMILION,
    "speaker": VERMILION,
    "pitch": VERMILION,
    "surface": GREEN,
    "category": GREEN,
    "register": PINK,
    "velocity": ORANGE,
}

INK, MUTED, GRID = "#1F2328", "#5B626B", "#E3E6EA"
CONTROL = "#8A8F98"
CHANCE = "#5B626B"
NOISE_FLOOR = "#B9BDC4"
BASELINE = ORANGE
RISE, FALL = BLUE, VERMILION

NETWORKS = {"trained": BLUE, "standin": VIOLET, "untrained": CONTROL}
PROTOCOLS = {"corrected": "-", "published": (0, (4, 2))}
"""Line style of each protocol."""

EDITS = {
    "flow": BLUE,
    "class-mean shift": ORANGE,
    "LDA shift": GREEN,
    "within-class swap": PINK,
    "random direction": CONTROL,
    "no-op": NOISE_FLOOR,
}
CONTROL_EDITS = ("no-op", "random direction", "within-class swap")


def _plain(name: str) -> str:
    return "".join(character for character in str(name).lower() if character.isalnum())


_EDITS_BY_PLAIN_NAME = {_plain(name): colour for name, colour in EDITS.items()}


def factor(name: str, among: Sequence[str] = ()) -> str:
    """The colour of a factor, the same in every study.

    Factors that the studies use have a fixed colour; any other gets one from its name, or, where `among` lists the
    factors of a figure, one that none of the others holds.

    Args:
        name: The factor.
        among: All factors shown together; `name` is one of them.
    Example:
        >>> factor("material") == factor("material", among=["action", "material"])
        True
        >>> factor("digit", among=["digit", "material"]) != factor("material", among=["digit", "material"])
        True
    """
    if not among:
        return KNOWN_FACTORS.get(name, FACTORS[zlib.crc32(str(name).encode()) % len(FACTORS)])
    taken: dict[str, str] = {}
    for other in [*(f for f in among if f in KNOWN_FACTORS), *(f for f in among if f not in KNOWN_FACTORS)]:
        wish = factor(other)
        free = [colour for colour in FACTORS if colour not in taken.values()]
        taken.setdefault(other, wish if wish in free or not free else free[0])
    return taken.get(name, factor(name))


def network(name: str) -> str:
    """The colour of a network by what it is: trained, stand-in or untrained (any seed).

    Example:
        >>> network("untrained, seed 3") == network("untrained") == CONTROL
        True
    """
    plain = _plain(name)
    if plain.startswith(("untrained", "random")):
        return NETWORKS["untrained"]
    return NETWORKS["standin" if plain.startswith("standin") else "trained"]


def edit(name: str) -> str:
    """The colour of an edit, whichever way its name is spelt; an unknown one gets a colour from its name.

    Example:
        >>> edit("class_mean_shift") == edit("class-mean shift") == ORANGE
        True
    """
    plain = _plain(name)
    spare = (VERMILION, VIOLET, SKY, OLIVE)
    found = [colour for known, colour in _EDITS_BY_PLAIN_NAME.items() if plain.startswith(known)]
    return found[0] if found else spare[zlib.crc32(plain.encode()) % len(spare)]


def is_control(name: str) -> bool:
    """Whether an edit is a control, which must show nothing.

    Example:
        >>> is_control("no_op"), is_control("flow")
        (True, False)
    """
    return any(_plain(name).startswith(_plain(control)) for control in CONTROL_EDITS)


def classes(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each class of a factor, in the order given.

    Example:
        >>> classes(["wood", "metal"])["wood"] == (BLUE, "o")
        True
    """
    return {
        name: (FACTORS[i % len(FACTORS)], MARKERS[(i + i // len(FACTORS)) % len(MARKERS)])
        for i, name in enumerate(names)
    }
