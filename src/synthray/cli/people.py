"""Commands about one person: body, inspect, simulate."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthray.cli.console import JsonFlag, emit
from synthray.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from synthray.anatomy import Patient
    from synthray.anatomy.inspection import CtReport
    from synthray.tools import Tool

CtArgument = Annotated[
    str, typer.Argument(help="CT: DICOM folder, .nii(.gz), .nrrd, .mha, or body:SEED.", metavar="CT")
]
LabelsOption = Annotated[Path | None, typer.Option(help="Label map, folder of masks, .seg.nrrd, or RT structure set.")]
NamesOption = Annotated[Path | None, typer.Option(help="JSON of label names; found beside the labels by default.")]
LandmarksOption = Annotated[Path | None, typer.Option(help="Landmarks: .json, .csv, .mrk.json, .fcsv.")]
DiseaseOption = Annotated[
    list[str] | None,
    typer.Option(help="KIND, or KIND:STRUCTURE for one that befalls a structure; several times for several."),
]
ToolOption = Annotated[
    list[str] | None,
    typer.Option(help="KIND at the target, or KIND:FROM:TO along two landmarks; several times for several tools."),
]
SystemOption = Annotated[
    str, typer.Option(help="X-ray system: chest-upright, chest-bedside, bucky-table, mobile-c-arm, angiography.")
]
DisplayOption = Annotated[
    str | None, typer.Option(help="Display preset (chest-pa, bone, c-arm, linear, …); the system's without it.")
]
PictureOption = Annotated[Path, typer.Option(help="Picture to write: .png, .tif, or .npy for the float -log image.")]
KeepTable = Annotated[bool, typer.Option("--keep-table", help="Keep the table and what lies outside the body.")]


def body(
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(help="Which person.")] = 0,
    region: Annotated[str, typer.Option(help="trunk, chest, abdomen, pelvis or head.")] = "trunk",
    voxel_mm: Annotated[float, typer.Option(help="Edge of a voxel in mm.")] = 1.5,
    sex: Annotated[str | None, typer.Option(help="female or male; drawn without it, as the measures below.")] = None,
    age: Annotated[float | None, typer.Option(help="18 to 100 years.")] = None,
    height_cm: Annotated[float | None, typer.Option(help="120 to 220.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="30 to 250.")] = None,
    arms: Annotated[str, typer.Option(help="down, up or absent.")] = "down",
    disease: DiseaseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a built-in body as CT, labels and landmarks.

    Example: synthray body --seed 3 --sex female --arms up --disease lung_opacities body-3/
    """
    import synthray as sr
    from synthray.anatomy import save_patient

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: not an empty folder; choose another")
    person = sr.body(
        seed,
        sex=sex,
        age=age,
        height_cm=height_cm,
        weight_kg=weight_kg,
        region=region,
        voxel_mm=voxel_mm,
        arms=arms,  # type: ignore[arg-type]
    )
    person = _ill(person, disease, seed)
    save_patient(person, out)
    facts = {"folder": str(out), "shape": list(person.ct.shape), "structures": len(person.structure_names)}
    emit(facts, f"wrote {out}: {' x '.join(map(str, person.ct.shape))} voxels, "
         f"{facts['structures']} structures, {len(person.landmarks)} landmarks", as_json)  # fmt: skip


def inspect(
    ct: CtArgument,
    labels: LabelsOption = None,
    label_names: NamesOption = None,
    landmarks: LandmarksOption = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the three middle slices to this PNG.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a CT holds: spacing, orientation, Hounsfield range, cut-offs, metal, labels, warnings.

    Of one DICOM X-ray: polarity, pixel size, C-arm angles.

    Example: synthray inspect ct.nii.gz --picture ct.png
    """
    from synthray.anatomy import draw_ct, inspect_ct, is_dicom_file

    if picture is not None and picture.suffix.lower() != ".png":
        raise InputError(f"{picture}: the picture is a .png")
    if is_dicom_file(Path(ct)):
        _inspect_xray(Path(ct), picture, as_json)
        return
    report, patient = inspect_ct(ct, labels=labels, label_names=label_names or _names(labels), landmarks=landmarks)
    if picture is not None:
        _write_png(picture, draw_ct(patient))
    emit(asdict(report), _in_words(report), as_json)


def _inspect_xray(path: Path, picture: Path | None, as_json: bool) -> None:
    """What one DICOM X-ray holds."""
    import numpy as np

    from synthray.anatomy import read_xray_dicom

    xray = read_xray_dicom(path)
    if picture is not None:
        low, high = np.percentile(xray.image, [0.5, 99.5])
        shown = np.clip((xray.image - low) / max(high - low, 1e-6), 0, 1)
        _write_png(picture, (255 * shown).astype(np.uint8))
    facts = xray.describe()
    lines = [f"{key.replace('_', ' '):20} {'not said' if value is None else value}" for key, value in facts.items()]
    emit({"path": str(path), **facts}, "\n".join([f"{path}: an X-ray", *lines]), as_json)


def _in_words(report: CtReport) -> str:
    """A CT's facts as lines for people."""
    size, spacing = (" x ".join(f"{n:g}" for n in numbers) for numbers in (report.shape, report.voxel_mm))
    extent = " x ".join(f"{n * mm:.0f}" for n, mm in zip(report.shape, report.voxel_mm, strict=True))
    percentiles = ", ".join(f"{p:g} %: {hu:.0f}" for p, hu in report.hu_percentiles.items() if p in (1, 50, 99, 100))
    cut = ", ".join(f"{face} {share:.0%}" for face, share in report.cut_off.items() if share > 0.005) or "nowhere"
    lines = [
        f"{report.path}: {report.format}, {size} voxels of {spacing} mm = {extent} mm, axes {report.orientation}",
        f"Hounsfield units  {percentiles}",
        f"body cut off at   {cut}",
        f"metal             {report.metal_voxels} voxels above 2500 HU",
        f"labels            {', '.join(f'{n} ({c})' for n, c in report.labels.items()) or 'none'}",
        f"landmarks         {', '.join(report.landmarks) or 'none'}",
    ]
    return "\n".join([*lines, *(f"warning: {note}" for note in report.warnings)])


def _write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    from PIL import Image

    from synthray.files import write_atomically

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def simulate(
    ct: CtArgument,
    labels: LabelsOption = None,
    label_names: NamesOption = None,
    landmarks: LandmarksOption = None,
    out: PictureOption = Path("shot.png"),
    view: Annotated[str, typer.Option(help="pa, ap, lat, inlet, outlet, obturator_oblique_left, …")] = "pa",
    lao: Annotated[float, typer.Option(help="LAO angle in degrees, RAO negative.")] = 0.0,
    cran: Annotated[float, typer.Option(help="Cranial angle in degrees, caudal negative.")] = 0.0,
    roll: Annotated[float, typer.Option(help="Turn the picture clockwise, degrees.")] = 0.0,
    target: Annotated[str, typer.Option(help="center, a landmark, or structures joined by +.")] = "center",
    carm: Annotated[str, typer.Option(help="Device preset.")] = "cios-fusion",
    size: Annotated[int, typer.Option(help="Rows of the picture.", min=8, max=8192)] = 768,
    realism: Annotated[str, typer.Option(help="naive, heuristic, realistic or full.")] = "realistic",
    system: SystemOption = "chest-upright",
    kvp: Annotated[float | None, typer.Option(help="Tube voltage in kVp; the system's own without it.")] = None,
    mas: Annotated[float | None, typer.Option(help="Tube output in mAs; exposure control without it.")] = None,
    display: DisplayOption = None,
    tool: ToolOption = None,
    disease: DiseaseOption = None,
    lungs: Annotated[bool, typer.Option("--lungs", help="Find the lungs when they are not labelled.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the noise and of diseases.")] = 0,
    keep_table: KeepTable = False,
    as_json: JsonFlag = False,
) -> None:
    """Simulate one X-ray with its masks, landmarks and camera.

    Example: synthray simulate ct.nii.gz --labels labels.nii.gz --view ap --out shot.png

    With tools: synthray simulate body:3 --view ap --target FH-l --tool screw --tool k_wire:ASIS-l:GSN-l

    With disease: synthray simulate body:3 --disease lung_opacities --disease fracture:clavicula_left
    """
    import synthray as sr
    from synthray.anatomy import with_lungs
    from synthray.dataset.people import target_mm
    from synthray.imaging import System

    patient = _load(ct, labels, label_names, landmarks, keep_table)
    if lungs:
        patient = with_lungs(patient)
    patient = _ill(patient, disease, seed)
    center = target_mm(patient, target)
    camera = sr.CArm.preset(carm).resized(size).view(center, lao, cran, roll, view=view)
    room = System.preset(system)
    settings = replace(room.settings, mas=mas)
    if kvp is not None:
        control = replace(settings.exposure, kvp_range=None)
        settings = replace(settings, tube=replace(settings.tube, tube_kvp=kvp), exposure=control)
    scene = sr.Scene(patient, [_tool(text, patient, center) for text in tool or ()])
    sample = sr.simulate(scene, camera, realism, seed, settings=settings)  # type: ignore[arg-type]
    written = sample.save(out, preset=display or room.display)
    facts = {"files": [str(path) for path in written], **sample.describe()}
    seen = sum(mark["visible"] for mark in facts["landmarks"].values())
    words = f"{len(facts['structures'])} masks, {seen} landmarks in view"
    emit(facts, f"wrote {out} and {len(written) - 1} files beside it: {words}", as_json)


def _ill(patient: Patient, diseases: list[str] | None, seed: int) -> Patient:
    """The patient with what `--disease` names."""
    from synthray.anatomy.disease import DISEASES, takes_structure

    for text in diseases or ():
        kind, _, structure = text.partition(":")
        if kind not in DISEASES:
            raise InputError(f"--disease {text}: there are {', '.join(DISEASES)}")
        if takes_structure(kind) != bool(structure):
            usage = f"{kind}:STRUCTURE" if takes_structure(kind) else kind
            raise InputError(f"--disease {text}: give {usage}")
        patient = DISEASES[kind](patient, seed=seed, **({"structure": structure} if structure else {}))
    return patient


def _tool(text: str, patient: Patient, target_mm: npt.NDArray[np.float64]) -> Tool:
    """The tool that `--tool` describes: its middle at the target, or its tip at a landmark."""
    import synthray as sr

    kind, *ends = text.split(":")
    if kind not in sr.tools.TOOLS or len(ends) not in (0, 2):
        known = ", ".join(sr.tools.TOOLS)
        raise InputError(f"--tool {text}: give KIND or KIND:FROM:TO with two landmarks; kinds are {known}")
    tool = sr.tools.TOOLS[kind]()
    if ends:
        return sr.tools.along(tool, ends[0], ends[1], patient=patient)
    return tool.moved(target_mm - tool.bounds_mm.mean(axis=0))


def _load(ct: str, labels: Path | None, names: Path | None, landmarks: Path | None, keep_table: bool) -> Patient:
    import synthray as sr

    if ct.startswith("body:"):
        if not ct[5:].isdigit():
            raise InputError(f"{ct}: a built-in body is body:SEED, such as body:3")
        return sr.body(int(ct[5:]))
    return sr.load_patient(
        ct, labels=labels, label_names=names or _names(labels), landmarks=landmarks, remove_table=not keep_table
    )


def _names(labels: Path | None) -> Path | None:
    from synthray.anatomy import find_label_names

    return None if labels is None else find_label_names(labels)


COMMANDS = (body, inspect, simulate)
