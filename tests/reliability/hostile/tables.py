"""Label maps, their names, and landmark files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hostile.core import ANY, HANDLED, SAFE, STRICT, Case, cut, flipped, junk, overwritten
from hostile.volumes import SHAPE, nifti

POINTS = {"FH-l": [1.0, 2.0, 310.0], "FH-r": [5.0, 25.0, 305.0]}
NAMES = {"labels": {"1": "hip", "2": "femur"}}
DEEP = "[" * 200_000
DEEP_MAPPING = '{"a":' * 100_000
LONG_NUMBER = "9" * 10_000


def json_bombs() -> Iterator[tuple[str, str]]:
    """JSON that is hard on a parser."""
    yield "deep list", DEEP
    yield "deep list closed", DEEP + "]" * 200_000
    yield "deep mapping", DEEP_MAPPING
    yield "long number", LONG_NUMBER
    yield "long number inside", f'{{"a": {LONG_NUMBER}}}'
    yield "wide", "[" + "0," * 400_000 + "0]"
    yield "NaN", '{"a": [NaN, Infinity, -Infinity]}'
    yield "null", "null"
    yield "list", "[1, 2, 3]"
    yield "string", '"abc"'
    yield "surrogates", '{"\\ud800": [1, 2, 3]}'
    yield "repeated key", '{"FH-l": [1, 2, 3], "FH-l": [4, 5, 6]}'
    yield "UTF-16", '{"FH-l": [1, 2, 3]}'.encode("utf-16").decode("latin-1")


def _codes() -> np.ndarray:
    codes = np.zeros(SHAPE, dtype=np.int16)
    codes[2:5, 2:5, 2:5], codes[6:9, 2:5, 2:5] = 1, 2
    return codes


def _load(folder: Path, **more: Any) -> Any:
    from synthray.anatomy import load_patient

    (folder / "ct.nii").write_bytes(nifti())
    return load_patient(folder / "ct.nii", remove_table=False, **more)


def _labels(data: bytes, names: str | None = None, name: str = "labels.nii") -> Callable[..., bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        (folder / name).write_bytes(data)
        named: Any = None
        if names is not None:
            named = folder / "names.json"
            named.write_bytes(names.encode("latin-1"))
        patient = _load(folder, labels=folder / name, label_names=named)
        wanted = {"hip": 27, "femur": 27} if names else {"label_1": 27, "label_2": 27}
        return {n: int(patient.labels.mask(n).sum()) for n in patient.structure_names} == wanted

    return action


def _damaged_labels(damage: Callable[[bytes, np.random.Generator], bytes]) -> Callable[..., bool]:
    return lambda folder, rng: _labels(damage(nifti(_codes()), rng))(folder, rng)


def label_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    for _ in seeds:
        yield Case("bit flips/labels", _damaged_labels(lambda d, r: flipped(d, r, 3, stop=352)), ANY)
        yield Case("truncation/labels", _damaged_labels(cut), SAFE)
        yield Case("overwritten/labels", _damaged_labels(overwritten), ANY)
        yield Case(
            "bit flips/label names",
            lambda f, r: _labels(nifti(_codes()), flipped(json.dumps(NAMES).encode(), r, 2).decode("latin-1"))(f, r),
            ANY,
        )
    for what, data in junk():
        yield Case(f"something else/labels {what}", _labels(data), STRICT)
    yield Case("label values/empty map", _labels(nifti(np.zeros(SHAPE, np.int16))), HANDLED)
    yield Case("label values/negative", _labels(nifti(_codes() - np.int16(1))), STRICT)
    yield Case("label values/fractions", _labels(nifti(_codes().astype(np.float32) * 0.5)), STRICT)
    yield Case("label values/NaN", _labels(nifti(np.where(_codes() > 0, np.nan, 0).astype(np.float32))), STRICT)
    yield Case("label values/too large", _labels(nifti(_codes().astype(np.float32) * 1e6)), STRICT)
    yield Case("label values/1e300", _labels(nifti(_codes() * 1e300)), STRICT)
    far = bytearray(nifti(_codes()))
    far[268:280] = far[292:296] + bytes(8)
    yield Case("label values/elsewhere", _elsewhere, STRICT)
    yield Case("label values/no name in the map", _labels(nifti(_codes()), '{"labels": {"7": "x"}}'), ANY)
    for what, text in json_bombs():
        # Names of other codes than those in the map, or odd ones, are valid.
        allowed = ANY if what in {"repeated key", "surrogates"} else HANDLED
        yield Case(f"JSON bomb/label names {what}", _labels(nifti(_codes()), text), allowed)
    for text in (
        '{"labels": {"-1": "x"}}',
        '{"labels": {"1.5": "x"}}',
        '{"labels": {"x": -3}}',
        '{"labels": {"x": [[1]]}}',
        '{"labels": {"x": 1e400}}',
        '{"labels": {"x": null}}',
        '{"structures": 5}',
        '{"labels": {"99999999": "x"}}',
        '{"labels": {"1": ""}}',
        '{"labels": {"x": true}}',
        '{"labels": {"../../x": 1}}',
    ):
        allowed = ANY if "../" in text else HANDLED
        yield Case(f"label names/{text}", _labels(nifti(_codes()), text), allowed)
    yield Case("label folder/empty", _empty_folder, STRICT)
    yield Case("label folder/one damaged", _folder_with_damage, STRICT)


def _elsewhere(folder: Path, rng: np.random.Generator) -> bool:
    import struct

    data = bytearray(nifti(_codes()))
    for offset in (268, 292):
        struct.pack_into("<f", data, offset, 9000.0)
    return _labels(bytes(data))(folder, rng)


def _empty_folder(folder: Path, _: np.random.Generator) -> bool:
    (folder / "labels").mkdir()
    return bool(_load(folder, labels=folder / "labels"))


def _folder_with_damage(folder: Path, _: np.random.Generator) -> bool:
    (folder / "labels").mkdir()
    (folder / "labels" / "hip.nii").write_bytes(nifti((_codes() == 1).astype(np.uint8)))
    (folder / "labels" / "femur.nii").write_bytes(nifti((_codes() == 2).astype(np.uint8))[:700])
    return bool(_load(folder, labels=folder / "labels"))


def _landmarks(data: bytes, name: str = "points.json") -> Callable[..., bool]:
    def action(folder: Path, _: np.random.Generator) -> bool:
        (folder / name).write_bytes(data)
        found = _load(folder, landmarks=folder / name).landmarks
        return set(found) == set(POINTS) and all(np.allclose(found[n], POINTS[n], atol=1e-4) for n in POINTS)

    return action


CSV = "name,x,y,z\n" + "".join(f"{n},{x},{y},{z}\n" for n, (x, y, z) in POINTS.items())
FCSV = (
    "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label\n"
    + "".join(f"v{n},{x},{y},{z},0,0,0,1,1,1,0,{n}\n" for n, (x, y, z) in POINTS.items())
)
MARKUPS = json.dumps(
    {
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": "LPS",
                "controlPoints": [{"label": n, "position": p} for n, p in POINTS.items()],
            }
        ]
    }
)


def landmark_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    files = {"p.json": json.dumps(POINTS), "p.csv": CSV, "p.fcsv": FCSV, "p.mrk.json": MARKUPS}
    for _ in seeds:
        for name, text in files.items():
            data = text.encode()
            yield Case(f"bit flips/{name}", lambda f, r, d=data, n=name: _landmarks(flipped(d, r, 2), n)(f, r), ANY)
            yield Case(f"truncation/{name}", lambda f, r, d=data, n=name: _landmarks(cut(d, r), n)(f, r), ANY)
    for what, text in json_bombs():
        allowed = ANY if what in {"repeated key", "surrogates"} else HANDLED
        yield Case(f"JSON bomb/landmarks {what}", _landmarks(text.encode("latin-1")), allowed)
    for name in ("p.csv", "p.fcsv"):
        for what, data in junk():
            yield Case(f"something else/{name} {what}", _landmarks(data, name), ANY if name == "p.fcsv" else STRICT)
        for what, text in (
            ("a field of 1 MB", "name,x,y,z\n" + "a" * 1_000_000 + ",1,2,3\n"),
            ("an open quote", 'name,x,y,z\n"' + "a\n" * 100_000),
            ("a NUL", "name,x,y,z\na\0,1,2,3\n"),
            ("NaN", "name,x,y,z\na,nan,2,3\n"),
            ("infinite", "name,x,y,z\na,1e999,2,3\n"),
            ("missing column", "name,x,y\na,1,2\n"),
            ("short row", "name,x,y,z\na,1\n"),
            ("twice", "name,x,y,z\na,1,2,3\na,4,5,6\n"),
            ("decimal commas", "name;x;y;z\na;1,5;2,5;3,5\n"),
        ):
            allowed = STRICT if name == "p.csv" and what not in {"a field of 1 MB", "a NUL"} else ANY
            yield Case(f"landmark table/{name} {what}", _landmarks(text.encode(), name), allowed)
    for text in (
        '{"a": [1, 2]}',
        '{"a": [1, 2, "x"]}',
        '{"a": [1, 2, [3]]}',
        '{"a": null}',
        '{"a": {"x": 1}}',
        '{"points": []}',
        '{"frame": "XYZ", "points": {"a": [1, 2, 3]}}',
        '{"markups": []}',
        '{"markups": 5}',
        '{"markups": [{"controlPoints": [{"label": "a"}]}]}',
        '{"a": [1e400, 0, 0]}',
        '{"a": "123"}',
    ):
        yield Case(f"landmark values/{text}", _landmarks(text.encode()), STRICT)
    yield Case("landmark values/a kilometre away", _landmarks(b'{"a": [1e6, 0, 0]}'), HANDLED)
    yield Case("landmark values/1e300", _landmarks(b'{"a": [1e300, 0, 0]}'), HANDLED)
