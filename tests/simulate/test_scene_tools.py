"""Tools in a scene: what they do to the image, and what a scene refuses."""

import numpy as np
import pytest

import synthray as sr
from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import CArm
from synthray.imaging import ImagingSettings, mass_attenuation_cm2_g
from synthray.projector import project
from synthray.simulate import Scene, expose
from synthray.tools import Part, Tool

_CORNERS = np.array(list(np.ndindex(2, 2, 2))) - 0.5
_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_FACES = np.array([t for a, b, c, d in _QUADS for t in ((a, b, c), (a, c, d))], dtype=np.int32)


def plate(material="titanium", size_mm=(60.0, 5.0, 60.0), density=None, name="plate"):
    """A box; by default a plate 5 mm thick, seen face-on in an AP view."""
    part = Part(_CORNERS * size_mm, _FACES, material, density)
    return Tool(name, (part,), {"tip": np.array([20.0, 0.0, 20.0])})


def water(size=40, voxel=3.0):
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -voxel * (size - 1) / 2
    hu = np.full((size, size, size), -1000, dtype=np.int16)
    hu[:, 10:30] = 0
    return Patient.from_arrays(hu, affine, np.ones_like(hu, dtype=np.uint8), {1: "block"})


def camera(pixels=32):
    return CArm.preset("generic-300mm").resized(pixels).view(np.zeros(3), view="ap")


def test_titanium_in_water_transmits_what_is_computed_by_hand():
    sample = sr.simulate(Scene(water(), [plate()]), camera(), realism="heuristic")
    middle = sample.transmission[0, 15:17, 15:17].mean()
    titanium, tissue = 0.5 * 4.506, 5.5  # g/cm²: 5 of the 60 mm of water have given way
    by_hand = np.exp(
        -titanium * mass_attenuation_cm2_g("titanium", 60.0) - tissue * mass_attenuation_cm2_g("water", 60.0)
    )
    assert middle == pytest.approx(float(by_hand), rel=0.01)


@pytest.mark.parametrize(
    ("material", "density"), [("titanium", None), ("tungsten", None), ("NiTi", 6.45), ("polyethylene", None)]
)
def test_the_spectrum_sees_the_material(material, density):
    settings = ImagingSettings(mas=400.0)
    plain = sr.simulate(water(), camera(), "realistic", settings=settings).transmission[0, 15:17, 15:17].mean()
    tool = plate(material, density=density, size_mm=(60, 0.5, 60))
    there = sr.simulate(Scene(water(), [tool]), camera(), "realistic", settings=settings)
    middle = there.transmission[0, 15:17, 15:17].mean()
    assert middle < plain * 0.97 if material != "polyethylene" else middle == pytest.approx(plain, rel=0.06)


def test_landmarks_masks_and_depth_of_a_tool_are_in_the_sample():
    sample = sr.simulate(Scene(water(), [plate().moved((5, 0, 0))]), camera(), realism="naive")
    assert np.allclose(sample.landmarks_px["plate_tip"][0], sample.camera.project(np.array([25.0, 0.0, 20.0])))
    assert sample.visible["plate_tip"][0]
    row, column = np.argwhere(sample.masks["plate"][0]).mean(axis=0)
    assert np.allclose([column, row], sample.camera.project(np.array([5.0, 0.0, 0.0])), atol=0.3)


def test_a_tool_changes_no_pixel_beyond_its_silhouette():
    plain, there = (sr.simulate(s, camera(), realism="heuristic") for s in (water(), Scene(water(), [plate()])))
    outside = there.paths_mm["plate"][0] == 0
    assert outside.any()
    assert (plain.image[0][outside] == there.image[0][outside]).all()


def test_two_materials_and_contrast_agent_keep_their_channels():
    """A further channel of the settings comes after those of the tools."""
    scene = Scene(water(), [plate(name="a"), plate("tungsten", (20, 0.2, 20), name="b")])
    projection = project(scene, camera())
    assert projection.materials == ("titanium", "tungsten")
    iodine = np.zeros_like(projection.area_density[:, :1])
    iodine[:, :, 15:17, 15:17] = 0.1
    from dataclasses import replace

    whole = replace(projection, area_density=np.concatenate([projection.area_density, iodine], axis=1))
    settings = ImagingSettings(extra_materials=("iodine",))
    with_iodine = expose(whole, scene, "heuristic", settings=settings).image[0]
    without = expose(projection, scene, "heuristic").image[0]
    added = (with_iodine - without)[15:17, 15:17]
    assert np.allclose(added, 0.1 * mass_attenuation_cm2_g("iodine", 60.0), rtol=1e-3)


def test_scenes_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="2 tools are called 'plate'"):
        Scene(water(), [plate(), plate()])
    with pytest.raises(InputError, match="called 'block'"):
        Scene(water(), [plate(name="block")])
    with pytest.raises(InputError, match="tool 'plate': no material 'adamantium'"):
        Scene(water(), [plate("adamantium")])
    with pytest.raises(InputError, match="NiTi needs density_g_cm3"):
        Scene(water(), [plate("NiTi")])
