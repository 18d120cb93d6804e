"""The command that finds the poses of X-rays: register."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthray.cli.console import JsonFlag, emit, progress_bar
from synthray.cli.people import CtArgument, KeepTable, LabelsOption, LandmarksOption, NamesOption, _load
from synthray.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from synthray.anatomy import Patient
    from synthray.evaluate import Section
    from synthray.geometry import Camera
    from synthray.register import Annotation, Fit

InitOption = Annotated[
    str,
    typer.Option(
        help="auto (the named view, wide search), dicom (the C-arm angles in the X-rays' headers), a camera JSON, "
        "or landmarks JSON: {image: {landmark: [column, row]}}."
    ),
]
RangeOption = Annotated[
    str, typer.Option("--range", help="small or large: how far to search; large for auto without it.")
]
_LARGE, _SMALL = "large", "small"


def register(
    ct: CtArgument,
    xrays: Annotated[list[Path], typer.Argument(help="X-rays of the person: PNG, JPEG, TIFF, NPY or DICOM.")],
    out: Annotated[Path, typer.Option(help="JSON of the poses to write.")] = Path("poses.json"),
    labels: LabelsOption = None,
    label_names: NamesOption = None,
    landmarks: LandmarksOption = None,
    init: InitOption = "auto",
    view: Annotated[str, typer.Option(help="pa, ap, lat, …: the view that auto and landmarks start from.")] = "ap",
    lao: Annotated[float, typer.Option(help="LAO angle in degrees, added to the view's.")] = 0.0,
    cran: Annotated[float, typer.Option(help="Cranial angle in degrees, added to the view's.")] = 0.0,
    target: Annotated[str, typer.Option(help="center, a landmark, or structures joined by +.")] = "center",
    carm: Annotated[str, typer.Option(help="Device preset: detector size and distances.")] = "cios-fusion",
    search: RangeOption = "",
    bone: Annotated[str, typer.Option(help="bright, dark or unknown: how the X-rays show bone.")] = "unknown",
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Carry labels and landmarks over; write pictures and a report.")
    ] = False,
    parts: Annotated[
        str, typer.Option(help="Labels of bones that moved on their own since the CT, joined by commas: femur_left,…")
    ] = "",
    structures: Annotated[str, typer.Option(help="Labels to carry over, joined by commas; all without it.")] = "",
    twins: Annotated[bool, typer.Option("--twins", help="Simulate every X-ray at its pose.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random starts.")] = 0,
    keep_table: KeepTable = False,
    as_json: JsonFlag = False,
) -> None:
    """Find from which pose each X-ray of a person was taken, from the person's CT.

    Writes the cameras (of --parts as well) with their uncertainty and quality, and beside it xrays.json, which the
    experiments read. With --annotate also annotations.json (COCO), masks, pictures and report.html. Poses that failed
    make exit code 2.

    Example: synthray register ct.nii.gz --labels labels.nii.gz shot1.png shot2.png --init landmarks.json --annotate
    """
    from synthray.models import read_image
    from synthray.register import Range, save_fits, save_posed_list
    from synthray.register import register as find

    if bone not in ("bright", "dark", "unknown"):
        raise InputError(f"--bone {bone}: choose bright, dark or unknown")
    reach = Range.preset(search or (_LARGE if init == "auto" else _SMALL))  # type: ignore[arg-type]
    named = _named(xrays)
    patient = _load(ct, labels, label_names, landmarks, keep_table)
    start = Start(init, view, lao, cran, target, carm)
    images, fits = {name: read_image(path) for name, path in named.items()}, dict[str, Any]()
    cameras = {name: start.camera(patient, name, path, images[name].shape, len(named)) for name, path in named.items()}
    how: dict[str, Any] = {"reach": reach, "bone": bone, "seed": seed}
    with progress_bar("register", "X-rays") as bar:
        for number, name in enumerate(named):
            bar(number, len(named))
            fits[name] = find(patient, images[name], cameras[name], **how)
        bar(len(named), len(named))
    moved = _parts(patient, images, fits, parts.split(","), seed) if parts else {}
    save_fits(out, fits, moved)
    files = {name: str(path.resolve()) for name, path in named.items()}
    save_posed_list(out.with_name("xrays.json"), files, fits, str(Path(ct).resolve()))
    if annotate:
        _annotate(patient, images, fits, out.parent, structures.split(",") if structures else None)
    if twins:
        from synthray.register import save_twins

        save_twins(patient, _believed(fits), out.parent / "twins", seed=seed)
    _tell(out, fits, moved, as_json)


@dataclass(frozen=True)
class Start:
    """Where the search begins; see the command's options."""

    init: str
    view: str
    lao: float
    cran: float
    target: str
    carm: str

    def camera(self, patient: Patient, name: str, path: Path, shape: tuple[int, ...], count: int) -> Camera:
        """The first camera of one X-ray."""
        import synthray as sr
        from synthray.dataset.people import target_mm
        from synthray.register import camera_from_dicom, camera_from_landmarks

        middle, (rows, columns) = target_mm(patient, self.target), shape
        if self.init == "dicom":
            return camera_from_dicom(path, middle, shape=(rows, columns))
        device = sr.CArm.preset(self.carm).resized(rows, columns)
        if self.init == "auto":
            return device.view(middle, self.lao, self.cran, view=self.view)
        data = _json(Path(self.init))
        if "camera_from_patient" in data:
            return sr.Camera.from_dict(data).resized(rows, columns)
        marks = data.get(name, data.get(path.stem, data if count == 1 else None))
        if not isinstance(marks, dict):
            raise InputError(f"{self.init}: no landmarks for '{name}'; it must hold {{image: {{name: [col, row]}}}}")
        return camera_from_landmarks(patient, marks, device.view(middle, self.lao, self.cran, view=self.view))


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--init {path}: not auto, not dicom, and not a readable JSON file ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"--init {path}: must hold one JSON object")
    return data


def _named(xrays: list[Path]) -> dict[str, Path]:
    """X-ray's file name -> path."""
    named = {path.name: path for path in xrays}
    if len({path.stem for path in xrays}) < len(xrays):
        raise InputError("two X-rays share a name; their results would overwrite one another: rename one")
    return named


def _believed(fits: Mapping[str, Fit]) -> dict[str, Fit]:
    return {name: fit for name, fit in fits.items() if fit.quality.state != "failed"}


def _parts(
    patient: Patient,
    images: Mapping[str, npt.NDArray[np.float32]],
    fits: Mapping[str, Fit],
    names: list[str],
    seed: int,
) -> dict[str, dict[str, Fit]]:
    """X-ray -> the poses of each bone that moved on its own, and of the rest; not for poses that failed."""
    from synthray.register import register_parts

    each = {name: [name] for name in names}
    with progress_bar("parts", "X-rays") as bar:
        found = {}
        for number, (name, fit) in enumerate(_believed(fits).items()):
            bar(number, len(fits))
            found[name] = register_parts(patient, images[name], fit, each, seed=seed)
        bar(len(fits), len(fits))
    return found


def _annotate(
    patient: Patient,
    images: Mapping[str, npt.NDArray[np.float32]],
    fits: dict[str, Fit],
    out: Path,
    structures: list[str] | None,
) -> None:
    """Masks, pictures, annotations.json and report.html."""
    from synthray.evaluate import Section, Table, write_report
    from synthray.files import write_atomically
    from synthray.models import png_bytes
    from synthray.register import annotate, save_coco

    believed = _believed(fits)
    carried = {name: annotate(patient, fit, structures) for name, fit in believed.items()}
    for name, one in carried.items():
        for structure, mask in one.masks.items():
            place = out / "masks" / f"{Path(name).stem}__{structure}.png"
            write_atomically(place, png_bytes(mask.astype("uint8") * 255))
    save_coco(out / "annotations.json", carried, believed)
    sections = [Section("Poses", [Table(_HEADER, [_row(name, fit) for name, fit in fits.items()])])]
    sections += [_section(patient, name, images[name], fit, carried.get(name)) for name, fit in fits.items()]
    write_report(
        out / "report.html",
        f"{len(fits)} X-rays registered to {patient.name}",
        "Deviations are standard deviations by the pose's covariance, which is calibrated on simulation.",
        sections,
    )


_HEADER = ("X-ray", "state", "score", "detail", "± turn °", "± in plane mm", "± depth mm")


def _row(name: str, fit: Fit) -> tuple[str, ...]:
    turn, shift = fit.rotation_std_deg.max(), fit.in_plane_std_mm.max()
    quality = fit.quality
    figures = (quality.score, quality.detail_ncc, turn, shift, fit.depth_std_mm)
    return (name, quality.state, *(f"{value:.2f}" for value in figures))


def _section(
    patient: Patient, name: str, image: npt.NDArray[np.float32], fit: Fit, carried: Annotation | None
) -> Section:
    from synthray.evaluate import Figure, Gallery, Paragraph, Section
    from synthray.models import png_bytes
    from synthray.register import compared

    seen = compared(patient, image, fit)
    figures = [
        Figure(png_bytes(seen.xray), "the X-ray, its display undone"),
        Figure(png_bytes(seen.projection), "projection of the CT"),
        Figure(png_bytes(seen.checkerboard), "squares of both in turn"),
        Figure(png_bytes(seen.difference), "difference"),
    ]
    if carried is not None:
        figures.insert(0, Figure(png_bytes(_outlined(image, carried)), "labels and landmarks of the CT"))
    words = Paragraph(f"{fit.quality.state}: {fit.quality.reason}.")
    return Section(name, [words, Gallery(figures, width_px=300)])


def _outlined(image: npt.NDArray[np.float32], carried: Annotation) -> npt.NDArray[np.uint8]:
    import numpy as np

    from synthray.models import Layer, overlay
    from synthray.models.overlay import PALETTE

    layers = [Layer(PALETTE[n % len(PALETTE)], mask=mask) for n, mask in enumerate(carried.masks.values())]
    points = np.array([at for name, at in carried.landmarks_px.items() if carried.visible[name]]).reshape(-1, 2)
    return overlay(image, [*layers, Layer((255, 255, 255), points_px=points)])


def _tell(out: Path, fits: dict[str, Fit], moved: Mapping[str, Mapping[str, Fit]], as_json: bool) -> None:
    """The result; an error of one line when a pose failed."""
    from synthray.register import to_json

    lines = []
    for name, fit in fits.items():
        for part, one in {"": fit, **{f" {part}": one for part, one in moved.get(name, {}).items()}}.items():
            lines.append(f"{name}{part}: {one.quality.state}, {one.quality.reason}; {_spread(one)}")
    emit({"out": str(out), "poses": to_json(fits, moved)}, "\n".join([*lines, f"wrote {out}"]), as_json)
    failed = {name: fit for name, fit in fits.items() if fit.quality.state == "failed"}
    if failed:
        name, fit = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} of {len(fits)} X-rays could not be registered, the first is {name}: {fit.quality.reason}; "
            "check that it is the same person, the view and the detector's size, or give landmarks (--init)"
        )


def _spread(fit: Fit) -> str:
    turn, shift = fit.rotation_std_deg.max(), fit.in_plane_std_mm.max()
    return f"± {turn:.2g}° turn, {shift:.2g} mm in plane, {fit.depth_std_mm:.2g} mm depth"


COMMANDS = (register,)
