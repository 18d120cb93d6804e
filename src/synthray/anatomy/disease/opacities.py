"""Ground glass and consolidation as in COVID-19 pneumonia."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.disease.field import (
    Floats,
    Lungs,
    check_range,
    find_lungs,
    generator,
    ramp,
    smooth_noise,
    with_hu,
    with_label,
)
from synthray.anatomy.patient import LabelMap, Patient
from synthray.errors import InputError

_STREAM: Final = 0xC0D1
_PERIPHERAL_SHARE: Final = 0.824
_POSTERIOR_SHARE: Final = 0.815
_BASAL_SHARE: Final = 0.75
_FULL_HU: Final = 40.0  # airless lung
_GROUND_GLASS_HU: Final = (-700.0, -500.0)
_CONSOLIDATION_HU: Final = (-100.0, 30.0)
_BRONCHUS_HU: Final = -925


def lung_opacities(
    patient: Patient,
    seed: int,
    *,
    number: int | None = None,
    involvement: float | None = None,
    consolidation_share: float | None = None,
    ground_glass_hu: float | None = None,
    border_mm: float | None = None,
    air_bronchograms: bool = True,
) -> Patient:
    """A patient with ground glass and consolidation; adds the labels `ggo`, `consolidation` and `opacity` (both).

    Lesions are noise-warped ellipsoids flattened along the pleura, grown together until they take the stated share of
    the lungs. Their fluid replaces air: HU rise in proportion to a voxel's air, so vessels stay visible in ground
    glass. What is None is drawn.

    Where lesions lie follows counts in 552 patients (PMC7355135): 82.4 % peripheral, 81.5 % posterior;
    those shares of patients are taken as shares of lesions. Involvement (means of 4 to 7 %) and ground-glass HU
    (histogram peak from -700 to -500) follow a quantitative CT study of 52 patients ("Lung involvement in patients
    with coronavirus disease-19", 2020). The basal share (75 %), numbers, borders and consolidation are our choices.

    Args:
        patient: with labels `lung_left` and `lung_right`.
        seed: equal seeds give equal lesions.
        number: of lesions before they merge, 1 to 60; drawn from 3 to 14.
        involvement: share of the lungs' volume, 0.001 to 0.8; drawn log-normally about 0.055, within 0.01 to 0.4.
        consolidation_share: share of the opacities' volume, 0 to 1; drawn from 0 to 0.4.
        ground_glass_hu: mean HU aimed at, -800 to -300.
        border_mm: width over which a lesion fades, 1 to 30; drawn from 4 to 12.
        air_bronchograms: bronchi stay open in consolidation, where the CT shows their lumen.

    Raises:
        InputError: no lung labels, opacities already there, or a number out of range.
    """
    taken = {"ggo", "consolidation", "opacity"} & set(patient.structure_names)
    if taken:
        raise InputError(f"{patient.name}: label '{min(taken)}' already exists; paint opacities into a patient without")
    rng = generator(seed, _STREAM)
    given = {"number": number, "involvement": involvement, "consolidation_share": consolidation_share}
    drawn = _drawn(rng, {**given, "ground_glass_hu": ground_glass_hu, "border_mm": border_mm})
    lungs = find_lungs(patient)
    dense_hu = rng.uniform(*_CONSOLIDATION_HU)
    opacity_mm, dense_mm = _signed_fields(rng, lungs, drawn)
    support = lungs.support(patient.ct)
    outer = lungs.on_ct(opacity_mm, patient.ct, support)
    touched = support & (outer > -drawn["border_mm"] / 2)
    core = np.minimum(lungs.on_ct(dense_mm, patient.ct, touched), outer)
    hu = patient.ct.values[lungs.box]
    healthy = float(np.median(hu[support][::8]))
    old = hu[touched].astype(np.float32)
    dense = ramp(core[touched], drawn["border_mm"] / 2)
    filling = ramp(outer[touched], drawn["border_mm"]) * _filling(healthy, drawn["ground_glass_hu"])
    filling += (_filling(healthy, dense_hu) - filling) * dense
    if air_bronchograms:
        filling[(old < _BRONCHUS_HU) & (dense > 0)] = 0
    filled = with_hu(patient, lungs.box, old + filling * np.maximum(_FULL_HU - old, 0), touched)
    return _labelled(filled, lungs, touched & (outer > 0), touched & (core > 0))


def _drawn(rng: np.random.Generator, given: Mapping[str, float | None]) -> dict[str, float]:
    """What was given, and the rest drawn; what is drawn for one doesn't depend on what is given for another.

    Raises:
        InputError: a number is out of range.
    """
    ways = {
        "number": (rng.integers(3, 15), 1, 60),
        "involvement": (np.clip(rng.lognormal(np.log(0.055), 0.7), 0.01, 0.4), 0.001, 0.8),
        "consolidation_share": (rng.uniform(0, 0.4), 0, 1),
        "ground_glass_hu": (rng.uniform(*_GROUND_GLASS_HU), -800, -300),
        "border_mm": (rng.uniform(4, 12), 1, 30),
    }
    chosen = {}
    for name, (drawn, low, high) in ways.items():
        value = given[name]
        chosen[name] = float(drawn if value is None else value)
        check_range(name, chosen[name], low, high)
    return chosen


def _filling(healthy_hu: float, target_hu: float) -> float:
    """Share of the air to be replaced by fluid that takes healthy lung to the target."""
    return float(np.clip((target_hu - healthy_hu) / (_FULL_HU - healthy_hu), 0, 1))


def _signed_fields(rng: np.random.Generator, lungs: Lungs, drawn: Mapping[str, float]) -> tuple[Floats, Floats]:
    """Coarse fields in mm, positive inside opacities and inside consolidation."""
    near = lungs.near
    points = lungs.points_mm(near)
    depth, inside = lungs.depth_mm[near], lungs.inside[near]
    centers, center_depths = _centers(rng, lungs, int(drawn["number"]))
    sizes = np.exp(rng.normal(0, 0.35, len(centers)))
    reach = np.full(len(points), np.inf)
    for center, center_depth, size in zip(centers, center_depths, sizes, strict=True):
        offset = (points - center) / rng.uniform(0.7, 1.4, 3)
        flat = 1.5 * (depth - center_depth)
        reach = np.minimum(reach, np.sqrt((offset**2).sum(axis=1) + flat**2) / size)
    # Warping by a share of the lesion's own reach keeps small lesions whole.
    reach *= np.exp(0.22 * smooth_noise(rng, points, 45.0) + 0.14 * smooth_noise(rng, points, 16.0))
    limit = np.quantile(reach[inside], drawn["involvement"])
    opacity = limit - reach
    patchy = reach / limit + 0.35 * smooth_noise(rng, points, 30.0)
    part = inside & (opacity > 0)
    share = drawn["consolidation_share"]
    threshold = np.quantile(patchy[part], share) if share > 0 and part.any() else -np.inf
    fields = np.full((2, *lungs.grid.shape), -100.0)
    fields[0][near] = opacity
    fields[1][near] = np.maximum((threshold - patchy) * limit, -100.0)
    return fields[0], fields[1]


def _centers(rng: np.random.Generator, lungs: Lungs, number: int) -> tuple[Floats, npt.NDArray[np.float32]]:
    """Lesion centres (N, 3) in mm and their depths: mostly peripheral, posterior and basal."""
    cells, depth = lungs.cells_mm, lungs.depth_mm[lungs.inside]
    odds = np.ones(len(cells))
    halves = (
        (depth < np.quantile(depth, 0.5), _PERIPHERAL_SHARE),
        (cells[:, 1] > np.median(cells[:, 1]), _POSTERIOR_SHARE),
        (cells[:, 2] < np.median(cells[:, 2]), _BASAL_SHARE),
    )
    for where, share in halves:
        odds *= np.where(where, share, 1 - share)
    chosen = rng.choice(len(cells), size=number, p=odds / odds.sum())
    return cells[chosen], depth[chosen]


def _labelled(patient: Patient, lungs: Lungs, opacity: npt.NDArray[np.bool_], dense: npt.NDArray[np.bool_]) -> Patient:
    dense = dense & opacity
    patient = with_label(patient, "ggo", lungs.box, opacity & ~dense)
    patient = with_label(patient, "consolidation", lungs.box, dense)
    labels = patient.labels
    if labels is None:
        return patient
    both = tuple(sorted({*labels.structures["ggo"], *labels.structures["consolidation"]}))
    return replace(patient, labels=LabelMap(labels.codes, {**labels.structures, "opacity": both}))
