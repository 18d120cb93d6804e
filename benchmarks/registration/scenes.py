"""Simulated X-rays with known poses, as unlike the moving side as real ones are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import synthray as sr
from synthray.anatomy import Patient
from synthray.anatomy.coarsen import resample_patient
from synthray.geometry import Camera, apply
from synthray.imaging import DisplayPreset, System, display
from synthray.tools import k_wire, screw


@dataclass(frozen=True, eq=False)
class Subject:
    """A person and what is looked at.

    Attributes:
        name: who.
        patient: as the X-rays see the person.
        ct: what is registered.
        target_mm: (3,) middle of the views.
        points_mm: (n, 3) anatomy whose error counts.
        view: the named view that angles are added to.
    """

    name: str
    patient: Patient
    ct: Patient
    target_mm: npt.NDArray[np.float64]
    points_mm: npt.NDArray[np.float64]
    view: str


@dataclass(frozen=True, eq=False)
class Shot:
    """One simulated X-ray.

    Attributes:
        xray: (row, column) grey values as displayed.
        camera: the truth.
        log_image: (row, column) -log signal before the display.
    """

    xray: npt.NDArray[np.float64]
    camera: Camera
    log_image: npt.NDArray[np.float32]


LEAST_SPREAD = 15
# What each real CT shows, and the structures whose middles are the targets.
REAL = {
    "totalseg_example": ("ap", ("hip_left", "hip_right", "sacrum", "vertebrae_L5", "vertebrae_L4", "vertebrae_L3")),
    "onkodicom_thorax": ("pa", ()),
    "onkodicom_headneck": ("pa", ()),
    "fnndsc_chest": ("pa", ()),
    "imlab_chest_id001": ("pa", ()),
}


def subject_named(data: Path, name: str) -> Subject:
    """A real CT of the data folder, or `body SEED REGION`."""
    if name.startswith("body"):
        _, seed, region = name.split()
        return body_subject(int(seed), region)
    return real_subject(data, name)


def real_subject(folder: Path, name: str) -> Subject:
    """A real CT; where nothing useful is labelled, the targets are bone voxels spread over it."""
    view, structures = REAL[name]
    labels = folder / "ct" / name / "labels.nii.gz"
    patient = sr.load_patient(
        folder / "ct" / name / "ct.nii.gz",
        labels=labels if labels.is_file() else None,
        label_names=labels.with_name("labels.json") if labels.is_file() else None,
        name=name,
    )
    points = np.array([patient.structure_center_mm(one) for one in structures]) if structures else bone_points(patient)
    return Subject(name, patient, patient, points.mean(axis=0), points, view)


def body_subject(seed: int, region: str) -> Subject:
    """A built-in body; the targets are its landmarks."""
    patient = sr.body(seed, region=region, voxel_mm=1.5)
    points = np.array(list(patient.landmarks.values()))
    view = "ap" if region == "pelvis" else "pa"
    middle = points.mean(axis=0)
    return Subject(f"body {seed} {region}", patient, patient, middle, points[near(points, middle)], view)


def near(
    points: npt.NDArray[np.float64], middle: npt.NDArray[np.float64], radius_mm: float = 130
) -> npt.NDArray[np.bool_]:
    """(n,) points that a view of the middle shows."""
    return np.linalg.norm(points - middle, axis=1) < radius_mm


def bone_points(patient: Patient, count: int = 12) -> npt.NDArray[np.float64]:
    """Bone voxels within 80 mm of the middle of all bone."""
    index = np.argwhere(patient.ct.values[::4, ::4, ::4] > 250) * 4
    points = apply(patient.ct.patient_from_voxel, index)
    close = points[near(points, np.median(points, axis=0), 80)]
    return close[np.linspace(0, len(close) - 1, count).astype(int)]


def rescanned(subject: Subject, rng: np.random.Generator) -> Subject:
    """The same person with another CT: noise of 25 HU, voxels 1.3 times as large that lie elsewhere."""
    ct = subject.patient.ct
    noisy = np.clip(ct.values + rng.normal(0, 25, ct.shape), -1024, 4000).astype(np.int16)
    scan = replace(subject.patient, ct=replace(ct, values=noisy))
    return replace(subject, ct=resample_patient(scan, 1.3 * float(ct.voxel_mm.min())))


def shot(subject: Subject, side: int, rng: np.random.Generator) -> Shot:
    """A realistic X-ray with a tool in the field, shown in a way that registration isn't told of."""
    device = sr.CArm.preset("cios-fusion").resized(side)
    camera = device.view(
        subject.target_mm + rng.uniform(-10, 10, 3),
        float(rng.uniform(-25, 25)),
        float(rng.uniform(-15, 15)),
        float(rng.uniform(-10, 10)),
        view=subject.view,
        source_to_target_mm=float(rng.uniform(680, 800)),
    )
    tool = screw(length_mm=60) if rng.random() < 0.5 else k_wire()
    axis = rng.normal(size=3)
    start = subject.points_mm[rng.integers(len(subject.points_mm))]
    placed = sr.tools.along(tool, start - 40 * axis / np.linalg.norm(axis), start)
    sample = sr.simulate(
        sr.Scene(subject.patient, [placed]),
        camera,
        "realistic",
        int(rng.integers(2**31)),
        settings=System.preset("mobile-c-arm").settings,
    )
    return Shot(displayed(sample.image[0], rng), camera, sample.image[0])


def displayed(log_image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Window, curve, inversion and vignetting as drawn, until half of the pixels spread over `LEAST_SPREAD` of 256.

    A fainter picture (linear, with much air beside the person) would be windowed anew by whoever looks at it.
    """
    while True:
        grey = np.rint(drawn_display(log_image, rng))
        if np.subtract(*np.percentile(grey, [75, 25])) >= LEAST_SPREAD:
            return grey


def drawn_display(log_image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Grey values 0 to 255."""
    low = float(rng.uniform(0.2, 4))
    preset = DisplayPreset(
        scale="log" if rng.random() < 0.7 else "linear",
        percentiles=(low, 100 - float(rng.uniform(0.1, 1))),
        gamma=float(rng.uniform(0.6, 1.6)),
        sigmoid=float(rng.choice([0, 2, 4])),
        contrast=float(rng.choice([0, 0.3])),
        invert=bool(rng.random() < 0.5),
    )
    grey = display(log_image, preset).astype(np.float64)
    rows, columns = np.indices(grey.shape) / (np.array(grey.shape)[:, None, None] - 1) - 0.5
    return grey * (1 - rng.uniform(0, 0.4) * (rows**2 + columns**2))
