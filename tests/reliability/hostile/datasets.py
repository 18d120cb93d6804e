"""Data sets on disk: manifests, recipes and shards that are damaged or hostile."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hostile.core import ANY, SAFE, STRICT, Case, cut, flipped, junk, overwritten
from hostile.recipes import GOOD
from hostile.tables import DEEP, LONG_NUMBER, json_bombs

SHARD = "shard-000001.tar"
BLOCK = 512
Damage = Callable[[Path, np.random.Generator], None]


@cache
def whole() -> dict[str, bytes]:
    """The files of a small finished set."""
    from synthray.dataset import generate

    with tempfile.TemporaryDirectory() as folder:
        generate(GOOD, Path(folder) / "set", workers=1)
        return {p.name: p.read_bytes() for p in (Path(folder) / "set").iterdir() if p.name != ".lock"}


def _action(damage: Damage, read: Callable[[Path], bool]) -> Callable[[Path, np.random.Generator], bool]:
    def action(folder: Path, rng: np.random.Generator) -> bool:
        for name, data in whole().items():
            (folder / name).write_bytes(data)
        damage(folder, rng)
        return read(folder)

    return action


def _images() -> list[np.ndarray]:
    return _images_of(tuple(sorted(whole().items())))


@cache
def _images_of(files: tuple[tuple[str, bytes], ...]) -> list[np.ndarray]:
    from synthray.dataset import Dataset

    with tempfile.TemporaryDirectory() as folder:
        for name, data in files:
            (Path(folder) / name).write_bytes(data)
        return [sample.image for sample in Dataset.open(folder)]


def iterate(folder: Path) -> bool:
    """Whether reading gives the images that were made."""
    from synthray.dataset import Dataset

    found = [sample.image for sample in Dataset.open(folder)]
    expected = _images()
    return len(found) == len(expected) and all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def check(folder: Path) -> bool:
    """Whether `verify` finds it whole; what it finds wrong counts as refused."""
    from synthray.dataset import verify
    from synthray.errors import InputError

    report = verify(folder)
    if report.problems:
        first = report.problems[0]
        raise InputError(f"{first.file}: {first.what}; {first.mend}")
    return True


def resume(folder: Path) -> bool:
    """Whether running the job again gives the bytes of an undisturbed run."""
    from synthray.dataset import generate

    generate(GOOD, folder, workers=1)
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")} == whole()


def _file(name: str, change: Callable[[bytes, np.random.Generator], bytes]) -> Damage:
    return lambda folder, rng: _write(folder / name, change((folder / name).read_bytes(), rng))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _random(seeds: range) -> Iterator[Case]:
    changes = {"bit flips": lambda d, r: flipped(d, r, 3), "truncation": cut, "overwritten": overwritten}
    for _ in seeds:
        for what, change in changes.items():
            for name in (SHARD, "manifest.json", "recipe.json"):
                damage = _file(name, change)
                reading = ANY if name != SHARD or what != "truncation" else SAFE
                yield Case(f"{what}/read {name}", _action(damage, iterate), reading)
                if name == SHARD:
                    yield Case(f"{what}/verify {name}", _action(damage, check), SAFE)
        # Without a manifest every shard is examined, and made again when it is not whole.
        yield Case(f"truncation/resume {SHARD}", _action(lambda f, r: _unfinished(f, r, cut), resume), SAFE)
        yield Case(
            "bit flips/resume manifest", _action(_file("manifest.json", lambda d, r: flipped(d, r, 2)), resume), ANY
        )


def _unfinished(folder: Path, rng: np.random.Generator, change: Callable[[bytes, np.random.Generator], bytes]) -> None:
    (folder / "manifest.json").unlink()
    _file(SHARD, change)(folder, rng)


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", pax: dict[str, str] | None = None
) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.pax_headers = kind, link, pax or {}
    return entry


def _sample(**changed: bytes) -> dict[str, bytes]:
    """The files of one good sample, some replaced."""
    with tarfile.open(fileobj=io.BytesIO(whole()[SHARD])) as tar:
        first = [e for e in tar if e.name.startswith("00000002.")]
        files = {e.name.partition(".")[2]: tar.extractfile(e).read() for e in first}  # type: ignore[union-attr]
    return {**files, **changed}


def _shard(files: dict[str, bytes]) -> bytes:
    return _tar([(_entry(f"00000002.{extension}"), data) for extension, data in files.items()])


def _hostile_tars() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name in (
        "../../../tmp/synthray-tar.json",
        "/tmp/synthray-tar.json",
        "a/../../b.json",
        ".json",
        "x" * 300 + ".json",
    ):
        yield f"traversal {name[:30]}", lambda n=name: _tar([(_entry(n), b"{}")])
    for kind, link in (
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "a.json"),
        (tarfile.SYMTYPE, "a.json"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
        (b"Z", ""),
    ):
        yield f"entry of type {kind!r} to {link}", lambda k=kind, t=link: _tar([(_entry("a.json", k, t), b"")])
    yield "size of 18 GB", lambda: _claiming(18 * 10**9)
    yield "size of 8 EB", lambda: _claiming(8**11 - 1)
    yield "negative size", lambda: _claiming(-5)
    yield "size in a PAX header", lambda: _pax_size()
    yield "deep PAX", lambda: _tar([(_entry("a.json", pax={"comment": "x" * 2_000_000}), b"{}")])
    yield "sparse 1 TB", lambda: _sparse(1 << 40)
    yield "gzip", lambda: __import__("gzip").compress(whole()[SHARD])
    yield "twice the same entry", lambda: _tar([(_entry("00000002.json"), _sample()["json"])] * 2)
    yield "no samples", lambda: _tar([])


def _claiming(size: int) -> bytes:
    entry = _entry("00000002.json")
    entry.size = size
    form = tarfile.GNU_FORMAT if size < 0 or size >= 8**11 else tarfile.USTAR_FORMAT
    return entry.tobuf(format=form) + b"{}".ljust(BLOCK, b"\0") + bytes(2 * BLOCK)


def _pax_size() -> bytes:
    entry = _entry("00000002.json", pax={"size": "18000000000"})
    return entry.tobuf(format=tarfile.PAX_FORMAT) + bytes(3 * BLOCK)


def _sparse(size: int) -> bytes:
    entry = _entry(
        "00000002.json", pax={"GNU.sparse.major": "0", "GNU.sparse.size": str(size), "GNU.sparse.map": "0,0"}
    )
    return entry.tobuf(format=tarfile.PAX_FORMAT) + bytes(3 * BLOCK)


def png(width: int, height: int, real: int | None = None, depth: int = 16) -> bytes:
    """A PNG whose header claims a size; its data are zeros, `real` of them or what the header claims."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    count = height * (1 + width * depth // 8) if real is None else real
    packer, data = zlib.compressobj(1), bytearray()
    while count > 0:
        data += packer.compress(bytes(min(count, 1 << 24)))
        count -= 1 << 24
    data += packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", bytes(data)) + chunk(b"IEND", b"")


def _truths() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    """Metadata with something wrong."""
    size = {"size": [16, 16], "counts": [256]}
    for what, masks in {
        "negative counts": {"lung": {"size": [16, 16], "counts": [300, -44]}},
        "counts too long": {"lung": {"size": [16, 16], "counts": [300]}},
        "RLE bomb": {"lung": {"size": [2_000_000, 2_000_000], "counts": [4_000_000_000_000]}},
        "RLE overflow": {"lung": {"size": [2**40, 2**40], "counts": [2**62, 2**62]}},
        "RLE of strings": {"lung": {"size": [16, 16], "counts": "PYYY"}},
        "RLE of fractions": {"lung": {"size": [16, 16], "counts": [0.5] * 512}},
        "RLE without size": {"lung": {"counts": [256]}},
        "RLE of another size": {"lung": {"size": [8, 32], "counts": [256]}},
        "RLE negative size": {"lung": {"size": [-16, -16], "counts": [256]}},
        "masks a list": [size],
        "mask null": {"lung": None},
    }.items():
        yield what, lambda t, m=masks: {**t, "masks": m}
    for field in ("index", "patient", "camera", "masks", "landmarks", "image", "area_density", "paths"):
        for value in (None, 5, "x", [], {}):
            yield f"{field}={value}", lambda t, f=field, v=value: {**t, f: v}
        yield f"without {field}", lambda t, f=field: {k: v for k, v in t.items() if k != f}
    for scale in (0, -1, 1e400, "6000", 1e-300):
        yield f"scale={scale}", lambda t, s=scale: {**t, "image": {"scale": s, "offset": 0.5}}
    for px in ([1], [None, 1], "ab", [1e400, 2], {"x": 1}):
        yield f"landmark at {px}", lambda t, p=px: {**t, "landmarks": {"a": {"px": p, "visible": True}}}
    for basis in (["../x"], ["adipose", "nothing"], [None]):
        yield f"basis {basis}", lambda t, b=basis: {**t, "area_density": {"scale": 600.0, "basis": b}}


def _hostile_samples() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for width, height in ((60000, 60000), (2**31 - 1, 2**31 - 1), (0, 0), (16, 15), (17, 16), (30000, 30000)):
        yield f"PNG of {width} x {height}", lambda w=width, h=height: _shard(_sample(png=png(w, h, real=16 * 33)))
    yield "PNG bomb with real zeros", lambda: _shard(_sample(png=png(14000, 14000)))
    yield "PNG text bomb", lambda: _shard(_sample(png=_text_bomb()))
    yield "PNG of 8 bits", lambda: _shard(_sample(png=png(16, 16, depth=8)))
    yield "JPEG called PNG", lambda: _shard(_sample(png=b"\xff\xd8\xff\xe0" + bytes(500)))
    yield "no PNG", lambda: _shard({k: v for k, v in _sample().items() if k != "png"})
    yield "no JSON", lambda: _shard({k: v for k, v in _sample().items() if k != "json"})
    for what, text in json_bombs():
        if what != "repeated key":
            yield f"JSON bomb {what}", lambda t=text: _shard(_sample(json=t.encode("latin-1")))
    for what, change in _truths():
        yield what, lambda c=change: _shard(_sample(json=json.dumps(c(json.loads(_sample()["json"]))).encode()))


def _text_bomb() -> bytes:
    """A PNG with compressed text that unpacks to 100 MB."""
    good = png(16, 16)
    packed = b"comment\0\0" + zlib.compress(bytes(100 << 20), 1)
    text = struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    return good[:33] + text + good[33:]


def _hostile_manifests() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    def shards(manifest: dict[str, Any], **changed: Any) -> dict[str, Any]:
        return {**manifest, "shards": [{**entry, **changed} for entry in manifest["shards"]]}

    for name in ("../../etc/passwd", "/etc/passwd", "shard-000000.tar/../x", "", ".", "\0", "recipe.json", 5, None):
        yield f"file={name!r}", lambda m, n=name: shards(m, file=n)
    for field in ("samples", "bytes", "sha256"):
        for value in (None, -1, "x", 1e300, [], 10**12):
            yield f"{field}={value}", lambda m, f=field, v=value: shards(m, **{f: v})
    for value in (None, 5, "x", [], {}, [5], [{}], [None]):
        yield f"shards={value}", lambda m, v=value: {**m, "shards": v}
    yield "another format", lambda m: {**m, "format": "synthray-dataset-9"}
    yield "extra field", lambda m: shards(m, extra=1)
    yield "a list", lambda m: [m]
    yield "shards twice", lambda m: {**m, "shards": m["shards"] * 2}
    yield "a shard less", lambda m: {**m, "shards": m["shards"][:1]}


def dataset_cases(seeds: range) -> Iterator[Case]:
    """All of them; damage at random places once for each seed."""
    yield from _random(seeds)
    for what, make in _hostile_tars():
        yield Case(f"hostile tar/read {what}", _action(lambda f, _, m=make: _write(f / SHARD, m()), iterate), STRICT)
        yield Case(f"hostile tar/verify {what}", _action(lambda f, _, m=make: _write(f / SHARD, m()), check), STRICT)
    for what, make in _hostile_samples():
        allowed = ANY if what in _LENIENT else STRICT
        yield Case(f"hostile sample/{what}", _action(lambda f, _, m=make: _write(f / SHARD, m()), iterate), allowed)
    for what, change in _hostile_manifests():

        def damage(folder: Path, _: np.random.Generator, c: Callable[[dict[str, Any]], Any] = change) -> None:
            held = json.loads((folder / "manifest.json").read_text())
            _write(folder / "manifest.json", json.dumps(c(held)).encode())

        changes_reading = what.startswith(("file", "shards", "samples=-1", "another", "a list", "extra", "a shard"))
        yield Case(f"hostile manifest/read {what}", _action(damage, iterate), STRICT if changes_reading else SAFE)
        yield Case(f"hostile manifest/verify {what}", _action(damage, check), STRICT)
        yield Case(f"hostile manifest/resume {what}", _action(damage, resume), SAFE)
    for what, data in (*junk(), ("deep", DEEP.encode()), ("long number", LONG_NUMBER.encode())):
        for name in (SHARD, "manifest.json", "recipe.json"):
            damage = lambda f, _, n=name, d=data: _write(f / n, d)  # noqa: E731
            yield Case(f"something else/read {name} {what}", _action(damage, iterate), STRICT)
            yield Case(f"something else/verify {name} {what}", _action(damage, check), STRICT)
    for what, odd in _ODD.items():
        for name in (SHARD, "manifest.json", "recipe.json"):
            damage = lambda f, _, n=name, o=odd: ((f / n).unlink(), o(f / n))  # type: ignore[assignment] # noqa: E731
            yield Case(f"odd file/read {name} is {what}", _action(damage, iterate), STRICT)
            yield Case(f"odd file/verify {name} is {what}", _action(damage, check), STRICT)
            yield Case(f"odd file/resume {name} is {what}", _action(damage, resume), SAFE)


_ODD: dict[str, Callable[[Path], Any]] = {
    "a folder": lambda p: p.mkdir(),
    "a pipe": lambda p: os.mkfifo(p),
    "a loop": lambda p: p.symlink_to(p),
    "a dangling link": lambda p: p.symlink_to("/nowhere/at/all"),
    "a link to /dev/zero": lambda p: p.symlink_to("/dev/zero"),
}
# Fields that reading doesn't need; `verify --deep` looks at them.
_LENIENT = {
    *(f"{field}={value}" for field in ("index", "patient", "camera") for value in (None, 5, "x", [], {})),
    *(f"without {field}" for field in ("index", "patient", "camera")),
    "masks={}",
    "landmarks={}",
    "area_density=None",
    "area_density={}",
    "area_density=[]",
    "PNG of 8 bits",
}
