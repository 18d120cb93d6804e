"""The people of a recipe, loaded or built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthray.anatomy import Patient, below_diaphragm, load_patient, resample_patient, with_lungs
from synthray.anatomy.body import body
from synthray.anatomy.morph import jittered, mirrored, random_deformation, turned_legs
from synthray.dataset.disease_recipe import with_disease
from synthray.dataset.recipe import Morph, Person
from synthray.errors import InputError

BODY_VOXEL_MM = 2.0


def load_person(person: Person, seed: int = 0, number: int = 0) -> Patient:
    """The patient that a recipe's entry describes.

    Args:
        person: the entry, counted out.
        seed: the recipe's; diseases are drawn from it and the person's number.
        number: of the person in the recipe.

    Raises:
        InputError: a file can't be read, or lungs are asked for and can't be found.
    """
    if person.body is not None:
        patient = body(person.body, region=person.region, voxel_mm=person.voxel_mm or BODY_VOXEL_MM)
    else:
        patient = load_patient(
            str(person.ct),
            labels=person.labels,
            label_names=person.label_names,
            landmarks=person.landmarks,
            remove_table=person.remove_table,
            name=person.name,
        )
        if person.find_lungs:
            patient = with_lungs(patient)
            patient = patient.with_structure("below_diaphragm", below_diaphragm(patient))
        if person.voxel_mm is not None:
            patient = resample_patient(patient, person.voxel_mm)
    if person.morph is not None:
        patient = _morphed(patient, person.morph)
    if person.mirror:
        patient = mirrored(patient)
    if not person.disease:
        return patient
    return replace(with_disease(patient, person.disease, seed, number), name=f"{patient.name}-{number}")


def _morphed(patient: Patient, morph: Morph) -> Patient:
    """The person as the recipe's morph changes them; each step has random numbers of its own."""
    rng = np.random.Generator(np.random.Philox(key=[morph.seed, 0x304F]))
    if morph.legs_deg:
        angles = np.clip(rng.normal(0, morph.legs_deg, (3, 2)), -2.5 * morph.legs_deg, 2.5 * morph.legs_deg)
        flexion, abduction, rotation = ({"left": float(a), "right": float(b)} for a, b in angles)
        turn = turned_legs(patient, flexion_deg=flexion, abduction_deg=abduction, rotation_deg=rotation)
        patient = turn.apply(patient)
    if morph.amplitude_mm:
        bend = random_deformation(
            patient,
            morph.seed,
            amplitude_mm=morph.amplitude_mm,
            smoothness_mm=morph.smoothness_mm,
            rigid_bones=morph.rigid_bones,
        )
        patient = bend.apply(patient)
    if morph.tissue:
        usual = {"bone": 0.12, "soft_hu": 12.0, "lung_hu": 35.0, "texture_hu": 10.0}
        patient = jittered(patient, morph.seed, **{name: value * morph.tissue for name, value in usual.items()})
    return replace(patient, name=f"{patient.name}-{morph.seed}")


def target_mm(patient: Patient, target: str) -> npt.NDArray[np.float64]:
    """(3,) patient mm of a point by name: `center`, a landmark, or structures joined by + (their centre).

    Raises:
        InputError: the patient has no such landmark or structure.
    """
    if target == "center":
        return patient.center_mm
    if target in patient.landmarks:
        return patient.landmarks[target]
    names = [name.strip() for name in target.split("+")]
    missing = [name for name in names if name not in patient.structure_names]
    if missing:
        raise InputError(
            f"{patient.name} has no landmark or structure '{missing[0]}'; its landmarks and labels name it"
        )
    return patient.structure_center_mm(*names)
