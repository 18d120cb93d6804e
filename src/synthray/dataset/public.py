"""Public sample data: pinned addresses, SHA-256, and folders that are used first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from synthray.errors import InputError, MissingExtraError

_UPSTREAM = (
    "https://raw.githubusercontent.com/wasserth/TotalSegmentator/0e65a448d557382b1e925276212b3bec7f5aff83/tests/"
)


@dataclass(frozen=True)
class PublicSet:
    """Some files on the open internet.

    Attributes:
        about: what it is, with its licence.
        files: name on disk -> (address, SHA-256).
        folder: where the same content lies in a data folder such as SYNTHRAY_DATA.
    """

    about: str
    files: Mapping[str, tuple[str, str]]
    folder: str


SETS: Mapping[str, PublicSet] = MappingProxyType(
    {
        "totalseg_example": PublicSet(
            about="CT of lower chest to hips with 61 labelled structures, 3 mm (TotalSegmentator, Apache-2.0)",
            files={
                "ct.nii.gz": (
                    _UPSTREAM + "reference_files/example_ct.nii.gz",
                    "dbd3ae6d614d1d7ef3a46925c30c70038ed52da6b37fdd6afdc7b9b71387e3e1",
                ),
                "labels.nii.gz": (
                    _UPSTREAM + "reference_files/example_seg_fast_force_split.nii.gz",
                    "e8097758e56e73099075b6caaebce23ef11bc6fad66a4ec3753b9406846558c7",
                ),
            },
            folder="ct/totalseg_example",
        )
    }
)


def data_folder() -> Path | None:
    """The folder that SYNTHRAY_DATA names, if any."""
    named = os.environ.get("SYNTHRAY_DATA")
    return Path(named) if named else None


def find_data(given: Path | None) -> Path | None:
    """The folder of real CTs and X-rays: `given`, SYNTHRAY_DATA, or `../shared/data` beside the project.

    Raises:
        InputError: a folder was named and holds no `ct/`.
    """
    named = given or data_folder()
    if named is not None:
        if not (named / "ct").is_dir():
            raise InputError(
                f"{named}: no folder ct/ in it; it should hold ct/NAME/ct.nii.gz, and xray/ if there is any"
            )
        return named
    beside = (Path.cwd(), Path(__file__).resolve().parents[3])
    places = [root.parent / "shared" / "data" for root in beside]
    return next((place for place in places if (place / "ct").is_dir()), None)


def cache_folder() -> Path:
    """Where downloads go: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "synthray"


def local_path(name: str) -> Path | None:
    """Where a set lies on this machine, SYNTHRAY_DATA first; None when it is not here.

    Raises:
        InputError: unknown name.
    """
    entry = _known(name)
    root = data_folder()
    if root is not None and (root / entry.folder).is_dir():
        return root / entry.folder
    cached = cache_folder() / name
    return cached if all((cached / file).is_file() for file in entry.files) else None


def require_local(name: str) -> Path:
    """Where a set lies on this machine.

    Raises:
        InputError: unknown name, or not here.
    """
    path = local_path(name)
    if path is None:
        raise InputError(f"{name} is not on this machine: run synthray data get {name}, or set SYNTHRAY_DATA")
    return path


def fetch(name: str) -> Path:
    """Download a set unless it is here already; every file is checked.

    Raises:
        InputError: unknown name, no network, or a file that is not what it should be.
        MissingExtraError: pooch is not installed.
    """
    here = local_path(name)
    if here is not None:
        return here
    try:
        import pooch
    except ImportError:
        raise MissingExtraError("downloading sample data", "data") from None
    pooch.get_logger().setLevel("WARNING")
    target = cache_folder() / name
    for file, (address, digest) in _known(name).files.items():
        try:
            pooch.retrieve(address, known_hash=f"sha256:{digest}", fname=file, path=target)
        except Exception as error:  # requests, urllib3 and pooch raise many kinds
            kind = "the download is not what it should be" if isinstance(error, ValueError) else "no connection"
            raise InputError(f"{name}: {file} can't be downloaded ({kind}: {type(error).__name__})") from None
    return target


def _known(name: str) -> PublicSet:
    if name not in SETS:
        raise InputError(f"unknown data '{name}'; there is {', '.join(SETS)}")
    return SETS[name]
