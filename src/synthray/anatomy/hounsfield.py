"""Hounsfield units -> densities of the two basis materials, adipose tissue and cortical bone (ICRU-44).

A CT number is linear in the linear attenuation coefficient at the scanner's effective energy, here 70 keV (about that
of 120 kVp behind a body), and so linear in the two basis densities. Anchor tissues therefore stand at the CT number
that their own composition gives, and the pair of densities is interpolated linearly between them: the map is
continuous, attenuation rises with it, and mixing the pair back at 70 keV returns the CT number, whatever the tissue
in between. Three curves share this property and differ only in composition: the default one, one for voxels labelled
as bone (marrow and bone, never muscle) and one for voxels labelled as lung (lung tissue at any density, never fat).

Air: outside labelled lungs, CT numbers below -950 are noise around air and become nothing; from there to -900 the
density rises linearly to its full value. Metal: CT numbers above 3071 are clamped to it (3.1 g/cm³ of cortical bone),
since a 12-bit CT records nothing above and two bases can't describe metal.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthray.anatomy.patient import LabelMap

LOWEST_HU: Final = -1024
HIGHEST_HU: Final = 3071
AIR_CUT_HU: Final = (-950.0, -900.0)

# Mass attenuation coefficients in cm²/g at 70 keV from xraylib 4.3 with the mass fractions of ICRU-44 (1989).
ADIPOSE_CM2_G: Final = 0.18747
CORTICAL_BONE_CM2_G: Final = 0.25705
WATER_CM2_G: Final = 0.19285

# Tissue -> (density in g/cm³ from ICRU-44, g of adipose and g of cortical bone per g of tissue). The shares give the
# tissue's transmitted signal within 0.2 % behind up to 40 cm at 60 to 120 kVp (`benchmarks/physics/tissues.py`).
TISSUES: Final = {
    "lung": (0.26, 0.9232, 0.0733),
    "adipose": (0.95, 1.0, 0.0),
    "muscle": (1.05, 0.9248, 0.0707),
    "spongy bone": (1.18, 0.6506, 0.3485),
    "cortical bone": (1.92, 0.0, 1.0),
    "collapsed lung": (1.05, 0.9232, 0.0733),
}
DEFAULT, BONE, LUNG = 0, 1, 2
CURVES: Final = {
    DEFAULT: ("lung", "adipose", "muscle", "spongy bone", "cortical bone"),
    BONE: ("adipose", "spongy bone", "cortical bone"),
    LUNG: ("collapsed lung", "spongy bone", "cortical bone"),
}

_BONE_NAME: Final = re.compile(
    r"(?<![a-z])(vertebrae?|ribs?|hips?|femurs?|femora|sacrum|coccyx|sternum|clavicul\w*|clavicles?|scapulae?|humer\w+"
    r"|skull|cranium|mandible|maxilla|(hemi)?pelvis|ilium|ischium|pubis|bones?|tibia|fibula|patella|radius|ulna"
    r"|(meta)?(tarsal|carpal)\w*|phalan\w+)(?![a-z])",
    re.IGNORECASE,
)
_LUNG_NAME: Final = re.compile(r"(?<![a-z])lungs?(?![a-z])", re.IGNORECASE)
_SLAB_VOXELS: Final = 1 << 20


def basis_densities(hu: npt.NDArray[Any], labels: LabelMap | None = None) -> npt.NDArray[np.float32]:
    """Densities of adipose tissue and cortical bone for every voxel.

    Args:
        hu: (I, J, K) Hounsfield units, any numeric type, finite; fractions are rounded to whole units.
        labels: structures on the same grid; those named as bone or lung choose their curve.

    Returns:
        (I, J, K, 2) float32 in g/cm³, C order, never negative.
    """
    table = np.ascontiguousarray(density_table()).view(np.complex64).ravel()
    curve_of_code = None if labels is None else first_entry_of_code(labels)
    pairs = np.empty(hu.shape, dtype=np.complex64)  # one 8-byte pair per voxel: a single gather fetches both
    step = max(1, _SLAB_VOXELS // max(1, hu[0].size))
    for start in range(0, len(hu), step):
        slab = slice(start, start + step)
        whole = hu[slab] if hu.dtype.kind in "iu" else np.rint(hu[slab])
        index = np.clip(whole, LOWEST_HU, HIGHEST_HU).astype(np.int32)
        index -= LOWEST_HU
        if labels is not None and curve_of_code is not None:
            index += curve_of_code[labels.codes[slab]]
        # 'clip' lets take() write straight into `out`; every index is in range already.
        np.take(table, index, out=pairs[slab], mode="clip")
    return pairs.view(np.float32).reshape(*hu.shape, 2)


def hounsfield_units(densities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """The CT number at 70 keV of (..., 2) densities in g/cm³: the inverse of `basis_densities` above the air cut."""
    attenuation = densities @ np.array([ADIPOSE_CM2_G, CORTICAL_BONE_CM2_G])
    return 1000 * (attenuation / WATER_CM2_G - 1)


def is_bone(name: str) -> bool:
    """Whether a structure's name says that it is bone ('vertebrae_L1', 'hip_left', 'rib_right_3', …)."""
    return _BONE_NAME.search(name.replace("_", " ")) is not None


def is_lung(name: str) -> bool:
    """Whether a structure's name says that it is lung or a part of one ('lung_left', 'lung_upper_lobe_left', …)."""
    return _LUNG_NAME.search(name.replace("_", " ")) is not None


def _curve(tissues: tuple[str, ...], hu: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, 2) densities at (N,) CT numbers, linear between vacuum and the tissues, proportional above the last one."""
    pairs = [np.zeros(2), *(np.array(TISSUES[t][1:]) * TISSUES[t][0] for t in tissues)]
    anchors = hounsfield_units(np.array(pairs))
    pairs.append(pairs[-1] * (1000 + HIGHEST_HU) / (1000 + anchors[-1]))
    anchors = np.append(anchors, HIGHEST_HU)
    return np.stack([np.interp(hu, anchors, np.array(pairs)[:, b]) for b in (0, 1)], axis=-1)


def density_table() -> npt.NDArray[np.float32]:
    """(curves x CT numbers, 2) densities in g/cm³: each curve's from `LOWEST_HU` to `HIGHEST_HU`, one after another."""
    hu = np.arange(LOWEST_HU, HIGHEST_HU + 1, dtype=np.float64)
    kept = np.clip((hu - AIR_CUT_HU[0]) / (AIR_CUT_HU[1] - AIR_CUT_HU[0]), 0, 1)
    curves = [_curve(CURVES[c], hu) * (kept[:, None] if c != LUNG else 1) for c in sorted(CURVES)]
    return np.concatenate(curves).astype(np.float32)


def first_entry_of_code(labels: LabelMap) -> npt.NDArray[np.int32]:
    """Label code -> where its curve begins in `density_table`. Where structures overlap, bone goes before lung."""
    curves = np.full(np.iinfo(labels.codes.dtype).max + 1, DEFAULT, dtype=np.int32)
    for curve, belongs in ((LUNG, is_lung), (BONE, is_bone)):
        for name, codes in labels.structures.items():
            if belongs(name):
                curves[list(codes)] = curve
    return curves * (HIGHEST_HU - LOWEST_HU + 1)
