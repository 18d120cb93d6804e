import numpy as np
import pytest
import xraylib

from synthray.anatomy import hounsfield as hf
from synthray.anatomy.patient import LabelMap
from synthray.imaging import Detector, Tube, response, spectrum

# Atomic number -> mass fraction, ICRU Report 44 (1989).
ICRU44 = {
    "adipose": {1: 0.114, 6: 0.598, 7: 0.007, 8: 0.278, 11: 0.001, 16: 0.001, 17: 0.001},
    "cortical bone": {
        1: 0.034, 6: 0.155, 7: 0.042, 8: 0.435, 11: 0.001, 12: 0.002, 15: 0.103, 16: 0.003, 20: 0.225,
    },
    "lung": {1: 0.103, 6: 0.105, 7: 0.031, 8: 0.749, 11: 0.002, 15: 0.002, 16: 0.003, 17: 0.003, 19: 0.002},
    "muscle": {1: 0.102, 6: 0.143, 7: 0.034, 8: 0.710, 11: 0.001, 15: 0.002, 16: 0.003, 17: 0.001, 19: 0.004},
    "spongy bone": {
        1: 0.085, 6: 0.404, 7: 0.028, 8: 0.367, 11: 0.001, 12: 0.001, 15: 0.034, 16: 0.002, 17: 0.002, 19: 0.001,
        20: 0.074, 26: 0.001,
    },
    "water": {1: 0.111894, 8: 0.888106},
}  # fmt: skip
ICRU44["collapsed lung"] = ICRU44["lung"]
ALL_HU = np.arange(-1000, 3072, dtype=np.int16).reshape(-1, 1, 1)


def mass_attenuation(tissue: str, energies_kev: np.ndarray) -> np.ndarray:
    parts = ICRU44[tissue].items()
    return np.array([sum(w * xraylib.CS_Total(z, float(e)) for z, w in parts) for e in energies_kev])


def labelled(shape: tuple[int, ...], name: str) -> LabelMap:
    return LabelMap(np.ones(shape, dtype=np.uint8), {name: (1,)})


@pytest.mark.parametrize(
    ("tissue", "value"),
    [("adipose", hf.ADIPOSE_CM2_G), ("cortical bone", hf.CORTICAL_BONE_CM2_G), ("water", hf.WATER_CM2_G)],
)
def test_constants_at_70_kev_come_from_icru44_and_xraylib(tissue, value):
    assert value == pytest.approx(mass_attenuation(tissue, np.array([70.0]))[0], rel=5e-5)


@pytest.mark.parametrize("kvp", [60, 80, 120])
@pytest.mark.parametrize("tissue", sorted(hf.TISSUES))
def test_tissues_transmit_what_their_shares_transmit(tissue, kvp):
    beam = spectrum(Tube(tube_kvp=kvp))
    signal = beam.fluence_per_cm2_mas * response(Detector(), beam.energy_kev)[0]
    used = signal > 0
    energies, signal = beam.energy_kev[used], signal[used] / signal.sum()
    bases = np.stack([mass_attenuation("adipose", energies), mass_attenuation("cortical bone", energies)], axis=1)
    exact, mixed = mass_attenuation(tissue, energies), bases @ hf.TISSUES[tissue][1:]
    for grams in (1, 5, 10, 20, 30, 40):
        through = signal @ np.exp(-exact * grams)
        if through > 1e-4:
            assert signal @ np.exp(-mixed * grams) == pytest.approx(through, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "lowest"), [("liver", hf.AIR_CUT_HU[1]), ("hip_left", hf.AIR_CUT_HU[1]), ("lung_left", -1000)]
)
def test_densities_attenuate_as_the_ct_number_says(name, lowest):
    densities = hf.basis_densities(ALL_HU, labelled(ALL_HU.shape, name))
    energy = np.array([70.0])
    mu = densities @ np.array([mass_attenuation("adipose", energy)[0], mass_attenuation("cortical bone", energy)[0]])
    back = 1000 * (mu / mass_attenuation("water", energy)[0] - 1)
    kept = lowest <= ALL_HU
    assert np.abs(back - ALL_HU)[kept].max() < 1.0
    assert (np.diff(back.ravel()) >= 0).all()
    assert (densities >= 0).all()


def test_anchor_tissues_come_back_as_themselves():
    for tissue in ("lung", "adipose", "muscle", "spongy bone", "cortical bone"):
        density, adipose, bone = hf.TISSUES[tissue]
        pair = density * np.array([adipose, bone])
        hu = np.rint(hf.hounsfield_units(pair)).reshape(1, 1, 1)
        np.testing.assert_allclose(hf.basis_densities(hu)[0, 0, 0], pair, atol=5e-3, err_msg=tissue)


def test_labels_choose_the_composition_at_equal_attenuation():
    hu = np.array([-100, 40, 200]).reshape(3, 1, 1)
    plain = hf.basis_densities(hu)[:, 0, 0]
    bone = hf.basis_densities(hu, labelled(hu.shape, "vertebrae_L1"))[:, 0, 0]
    lung = hf.basis_densities(hu, labelled(hu.shape, "lung_upper_lobe_left"))[:, 0, 0]
    assert bone[1, 1] > plain[1, 1] + 0.02  # marrow with bone in it, not muscle
    assert plain[0, 1] < 0.02  # fat
    assert lung[0, 1] > 0.05  # partly collapsed lung, not fat
    np.testing.assert_allclose(hf.hounsfield_units(bone), hf.hounsfield_units(plain), atol=1e-3)


def test_air_is_nothing_and_no_density_jumps():
    densities = hf.basis_densities(ALL_HU)
    assert not densities[ALL_HU[:, 0, 0] <= hf.AIR_CUT_HU[0]].any()
    assert np.abs(np.diff(densities, axis=0)).max() < 0.004


def test_values_off_the_scale_are_clamped():
    hu = np.array([-3024, -1024, 3071, 30000], dtype=np.int16).reshape(4, 1, 1)
    densities = hf.basis_densities(hu)[:, 0, 0]
    np.testing.assert_array_equal(densities[0], densities[1])
    np.testing.assert_array_equal(densities[2], densities[3])
    assert densities[2, 1] == pytest.approx(1.92 * 4071 / 2559.1, rel=1e-3)


def test_memory_order_and_type_do_not_matter():
    hu = np.random.default_rng(0).integers(-1024, 2000, (9, 8, 7)).astype(np.int16)
    codes = (hu > 100).astype(np.uint8)
    labels = LabelMap(codes, {"femur_left": (1,)})
    expected = hf.basis_densities(hu, labels)
    turned = LabelMap(np.asfortranarray(codes), labels.structures)
    np.testing.assert_array_equal(hf.basis_densities(np.asfortranarray(hu), turned), expected)
    np.testing.assert_array_equal(hf.basis_densities(hu.astype(np.float32) + 0.3, labels), expected)
    assert expected.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "bone"),
    [
        ("vertebrae_T12", True), ("rib_left_1", True), ("ribs", True), ("hip_right", True), ("clavicula_left", True),
        ("humerus_left", True), ("skull", True), ("Bone", True), ("left hemipelvis", True), ("scapula_right", True),
        ("spinal_cord", False), ("liver", False), ("tribe", False), ("autochthon_left", False), ("heart", False),
    ],
)  # fmt: skip
def test_bone_is_known_by_name(name, bone):
    assert hf.is_bone(name) is bone
    assert not hf.is_lung(name)
