"""Names of paired structures: what is left in an image is right in its mirror image."""

from __future__ import annotations

import re
from collections.abc import Sequence

from synthray.errors import InputError

_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}
# A side is a whole word of a name: "left_lung", "hip_left", "FH-l"; "lung" holds no side.
_SIDE = re.compile(r"(?<![A-Za-z])(left|right|l|r)(?![A-Za-z])", re.IGNORECASE)


def mirrored_name(name: str) -> str:
    """The same structure on the other side; names without a side stay as they are.

    Upper and lower case are kept: `Left Lung` -> `Right Lung`, `FH-l` -> `FH-r`.
    """

    def opposite(match: re.Match[str]) -> str:
        word = match.group()
        other = _OPPOSITE[word.lower()]
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return _SIDE.sub(opposite, name)


def mirror_order(names: Sequence[str]) -> tuple[int, ...]:
    """Where each channel of a mirrored image comes from: `mirrored[i] = original[order[i]]`.

    Raises:
        InputError: a name's partner on the other side is missing, so that a mirrored image could not be labelled.
    """
    places = {name: i for i, name in enumerate(names)}
    for name in names:
        if mirrored_name(name) not in places:
            raise InputError(
                f"'{name}' has no partner '{mirrored_name(name)}' among {', '.join(names)}: "
                "switch horizontal flipping off, or add the partner"
            )
    return tuple(places[mirrored_name(name)] for name in names)
