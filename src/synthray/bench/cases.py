"""What is measured: single cases, and grids of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Literal

from synthray.errors import InputError

LIMITS = MappingProxyType(
    {"voxels": (16, 1024), "pixels": (8, 4096), "structures": (0, 1000), "batch": (1, 256), "threads": (1, 1024)}
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to time.

    Attributes:
        voxels: side of the cubic volume.
        pixels: side of the square image.
        structures: labelled structures in the volume.
        batch: views in one call.
        threads: CPU threads; None is all cores.
        masks: whether masks are asked for.
        work: `project`, or `simulate` for the whole chain to a realistic image.
    """

    voxels: int = 256
    pixels: int = 512
    structures: int = 20
    batch: int = 1
    threads: int | None = None
    masks: bool = True
    work: Literal["project", "simulate"] = "project"

    def __post_init__(self) -> None:
        for name, (lowest, highest) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise InputError(f"bench: {name}={value} must lie within {lowest} and {highest}")


BASE = Case()


def _default() -> tuple[Case, ...]:
    return (
        BASE,
        replace(BASE, threads=1),
        replace(BASE, masks=False),
        replace(BASE, work="simulate"),
        *(replace(BASE, batch=batch) for batch in (4, 16)),
        *(replace(BASE, pixels=pixels) for pixels in (256, 1024, 1536)),
        *(replace(BASE, structures=structures) for structures in (1, 100)),
        *(replace(BASE, voxels=voxels) for voxels in (128, 384, 512)),
        replace(BASE, voxels=512, threads=1),
    )


def _full() -> tuple[Case, ...]:
    sides, pixels = (128, 256, 384, 512), (256, 512, 1024, 1536)
    whole = product(sides, pixels, (1, 20, 100), (1, 8), (1, None))
    return (
        *(Case(voxels=v, pixels=p, structures=s, batch=b, threads=t) for v, p, s, b, t in whole),
        *(Case(voxels=v, masks=False) for v in sides),
        *(Case(pixels=p, work="simulate") for p in pixels),
    )


GRIDS = MappingProxyType(
    {
        "quick": (BASE, replace(BASE, threads=1), replace(BASE, voxels=128, pixels=256)),
        "default": _default(),
        "full": _full(),
    }
)


def parse_case(text: str) -> Case:
    """A case from `VOXELS,PIXELS[,STRUCTURES[,BATCH]]`, such as `512,1024,20,8`.

    Raises:
        InputError: not two to four whole numbers, or one is out of range.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 4:
        raise InputError(f"bench: case '{text}' must be VOXELS,PIXELS[,STRUCTURES[,BATCH]], such as 256,512,20,1")
    return Case(**dict(zip(("voxels", "pixels", "structures", "batch"), numbers, strict=False)))  # type: ignore[arg-type]
