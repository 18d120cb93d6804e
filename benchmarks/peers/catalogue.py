"""Which projectors are compared, in which version, on what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

TORCH = "torch==2.13.0"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One scene and how it is run.

    Attributes:
        voxels: side of the cubic volume.
        pixels: side of the square image.
        structures: labelled ellipsoids in the body; only synthray returns their masks.
        threads: and cores, of both sides.
    """

    voxels: int = 256
    pixels: int = 512
    structures: int = 20
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another projector.

    Attributes:
        title: for tables.
        requirements: for pip; the projector itself last.
        build: installed before them, for a package that doesn't say what it is built with.
        trial: Python that fails when it can't be used here.
        comparisons: number of threads -> what to run.
    """

    title: str
    requirements: tuple[str, ...]
    build: tuple[str, ...] = ()
    trial: str
    comparisons: Callable[[int], tuple[Comparison, ...]]


def _whole(threads: int) -> tuple[Comparison, ...]:
    return (
        *_both_sizes(threads),
        Comparison(structures=1, threads=threads),
        Comparison(threads=1),
        Comparison(voxels=512, threads=1),
    )


def _both_sizes(threads: int) -> tuple[Comparison, ...]:
    return Comparison(threads=threads), Comparison(voxels=512, threads=threads)


def _small(threads: int) -> tuple[Comparison, ...]:
    return (Comparison(threads=threads),)


PEERS = MappingProxyType(
    {
        "rtk": Peer(
            title="RTK, Joseph, threaded C++; 1 density",
            requirements=("itk-rtk==2.7.0.post1",),
            trial="from itk import RTK; RTK.JosephForwardProjectionImageFilter",
            comparisons=_whole,
        ),
        "nanodrr": Peer(
            title="nanodrr, trilinear, torch; 1 density",
            requirements=(TORCH, "nanodrr==0.1.7"),
            trial="import nanodrr.drr.renderer",
            comparisons=_both_sizes,
        ),
        "flashdrr": Peer(
            title="FlashDRR, its torch renderer (the fused one needs a GPU); 1 density",
            requirements=(TORCH, "flashdrr==0.6.0"),
            trial="import flashdrr.rendering",
            comparisons=_small,
        ),
        "diffdrr": Peer(
            title="DiffDRR, trilinear, torch; 1 density",
            requirements=(TORCH, "diffdrr==0.6.1"),
            trial="import diffdrr.drr",
            comparisons=_small,
        ),
        "gvxr": Peer(
            title="gVirtualXray, surface meshes, OpenGL in software; 1 density",
            requirements=("numpy==2.4.6", "gvxr==2.1.0"),
            trial="from gvxrPython3 import gvxr",
            comparisons=_small,
        ),
        "deepdrr": Peer(
            title="DeepDRR",
            requirements=(TORCH, "deepdrr==1.2.2"),
            trial="import deepdrr",
            comparisons=_small,
        ),
        "tigre": Peer(
            title="TIGRE",
            requirements=("pytigre==0.1.8",),
            build=("Cython==3.2.4", "numpy==2.4.6", "scipy", "setuptools", "wheel"),
            trial="import tigre",
            comparisons=_small,
        ),
    }
)
