"""X-ray images as people would give them to `predict`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from hostile.core import ANY, HANDLED, SAFE, STRICT, Case, cut, flipped, junk, overwritten
from hostile.datasets import png


def _grey() -> np.ndarray:
    return (np.arange(32 * 24).reshape(24, 32) * 80).astype(np.uint16)


def _encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "NPY":
        np.save(buffer, _grey())
    else:
        Image.fromarray(_grey() if form in ("PNG", "TIFF") else (_grey() >> 8).astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def _read(data: bytes, name: str) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        from synthray.models.image_reader import read_image

        path = folder / name
        path.write_bytes(data)
        found = read_image(path)
        assert np.isfinite(found).all()
        return found.shape == (24, 32) and bool(np.array_equal(found, _grey()))

    return action


def _objects() -> bytes:
    """A .npy file that holds pickled objects which would run a command."""

    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, ("touch /tmp/synthray-npy-ran",)

    buffer = io.BytesIO()
    np.save(buffer, np.array([Runs()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _npy(header: str) -> bytes:
    text = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


def picture_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    files = {"x.png": "PNG", "x.tif": "TIFF", "x.jpg": "JPEG", "x.npy": "NPY"}
    for _ in seeds:
        for name, form in files.items():
            data = _encoded(form)
            for what, damage in (
                ("bit flips", lambda d, r: flipped(d, r, 3)),
                ("truncation", cut),
                ("overwritten", overwritten),
            ):
                yield Case(f"{what}/{name}", lambda f, r, d=data, n=name, c=damage: _read(c(d, r), n)(f, r), ANY)
    for name in (*files, "x.dcm", "x"):
        for what, data in junk():
            yield Case(f"something else/{name} {what}", _read(data, name), STRICT)
    for width, height in ((60000, 60000), (2**31 - 1, 2**31 - 1), (9000, 9000), (0, 5)):
        yield Case(f"memory bomb/png of {width} x {height}", _read(png(width, height, real=99), "x.png"), STRICT)
    yield Case("no code/npy of objects", _read(_objects(), "x.npy"), STRICT)
    for header in (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 0)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (4, 4)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 4)}",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (2, 2)}",
        "__import__('os').system('touch /tmp/synthray-npy-ran')",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 4)}",
        "(" * 100,
    ):
        yield Case(f"header lie/npy {header[-30:]}", _read(_npy(header), "x.npy"), STRICT)
    for what in (np.nan, np.inf, 1e39):
        buffer = io.BytesIO()
        np.save(buffer, np.full((8, 8), what, dtype=np.float64))
        yield Case(f"not finite/npy {what}", _read(buffer.getvalue(), "x.npy"), STRICT)
    assert HANDLED < SAFE
