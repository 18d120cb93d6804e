"""Tools in the march: chords against closed forms, tissue taken out, what stays untouched."""

import numpy as np
import pytest

from synthray.anatomy import Patient
from synthray.errors import InputError
from synthray.geometry import Camera, CArm, rotation_about
from synthray.projector import project, with_tools
from synthray.projector.mesh.add import ray_offsets
from synthray.simulate import Scene
from synthray.tools import Part, Tool


def closed_tube(radii, z, sides=720, turned_in=False):
    """A surface of revolution about z with caps, outward; radii match the polygon's area to the circle's."""
    angle = np.arange(sides) * 2 * np.pi / sides
    fair = np.sqrt(2 * np.pi / sides / np.sin(2 * np.pi / sides))
    rings = [
        np.stack([r * fair * np.cos(angle), r * fair * np.sin(angle), np.full(sides, h)], 1)
        for r, h in zip(radii, z, strict=True)
    ]
    points = np.concatenate([*rings, [[0, 0, z[0]], [0, 0, z[-1]]]])
    here, following = np.arange(sides), (np.arange(sides) + 1) % sides
    faces = []
    for ring in range(len(radii) - 1):
        a, b = ring * sides, (ring + 1) * sides
        faces += [
            np.stack([a + here, a + following, b + following], 1),
            np.stack([a + here, b + following, b + here], 1),
        ]
    last = (len(radii) - 1) * sides
    faces += [
        np.stack([np.full(sides, len(points) - 2), following, here], 1),
        np.stack([np.full(sides, len(points) - 1), last + here, last + following], 1),
    ]
    found = np.concatenate(faces).astype(np.int32)
    return points, found[:, ::-1] if turned_in else found


def sphere(radius, rings=181):
    polar = np.linspace(0, np.pi, rings)[1:-1]
    return closed_tube(radius * np.sin(polar), -radius * np.cos(polar), sides=360)


def tool(mesh, material="titanium", density=4.5, pose=None, name="tool", landmarks=None):
    part = Part(mesh[0], mesh[1], material, density)
    return Tool(name, (part,), landmarks or {}, np.eye(4) if pose is None else pose)


def pose_at(point=(0, 0, 0), axis=(1, 0, 0), degrees=0.0):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation_about(np.array(axis, dtype=float), np.deg2rad(degrees)), point
    return pose


def slab(hu=300.0, voxel=2.0, size=40, labels=True):
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -voxel * (size - 1) / 2
    codes = np.ones((size, size, size), dtype=np.uint8) if labels else None
    return Patient.from_arrays(np.full((size, size, size), hu, dtype=np.int16), affine, codes, {1: "block"})


def view(pixels=64, lao=0.0, cran=0.0, zoom=3.0, view=None, device="generic-300mm"):
    """A view of the middle, closer than the device's own field so that pixels are fine."""
    camera = CArm.preset(device).resized(pixels).view(np.zeros(3), lao, cran, **({"view": view} if view else {}))
    K = camera.K.copy()
    K[:2, :2] *= zoom
    return Camera.from_matrix(K, camera.camera_from_patient, pixels, pixels)


def rays(camera):
    """Source, and (row, column, ray, 3) unit directions of all rays of all pixels, patient frame."""
    rows, columns = np.meshgrid(np.arange(camera.rows), np.arange(camera.columns), indexing="ij")
    at = np.stack([columns, rows], -1)[:, :, None] + ray_offsets(16)
    pixel = np.concatenate([at, np.ones((*at.shape[:-1], 1))], -1)
    direction = pixel @ np.linalg.inv(camera.K).T @ camera.camera_from_patient[:3, :3]
    return camera.source_mm, direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def sphere_chord(camera, radius, center=(0, 0, 0)):
    source, direction = rays(camera)
    to = np.asarray(center) - source
    along = direction @ to
    return 2 * np.sqrt(np.clip(radius**2 - (to @ to - along**2), 0, None))


def cylinder_chord(camera, radius, pose):
    """Chord in an endless cylinder about z."""
    source, direction = rays(camera)
    turned, start = direction @ pose[:3, :3], (source - pose[:3, 3]) @ pose[:3, :3]
    a = (turned[..., :2] ** 2).sum(-1)
    b = (turned[..., :2] * start[:2]).sum(-1)
    c = (start[:2] ** 2).sum() - radius**2
    return 2 * np.sqrt(np.clip(b**2 - a * c, 0, None)) / a


@pytest.mark.parametrize(("lao", "cran"), [(0, 0), (35, -20), (-90, 0)])
def test_a_spheres_chords_are_those_of_geometry(lao, cran):
    camera = view(lao=lao, cran=cran)
    ball = tool(sphere(12.0), pose=pose_at((3, -2, 5)))
    got = project(Scene(slab(-1000), [ball]), camera).paths_mm["tool"][0]
    exact = sphere_chord(camera, 12.0, (3, -2, 5))
    inner = (exact > 8).all(axis=-1)
    assert inner.sum() > 30
    assert np.abs(got - exact.mean(-1))[inner].max() < 0.001 * 24
    assert np.abs(got - exact.mean(-1)).max() < 0.05 * 24
    assert not got[(exact == 0).all(-1)].any()


@pytest.mark.parametrize("degrees", [0.0, 31.0, -50.0])
def test_a_tubes_chords_are_those_of_geometry(degrees):
    pose = pose_at((2, 1, -3), (1, 0.4, 0), degrees)
    outer, inner = closed_tube([9, 9], [-80, 80]), closed_tube([6, 6], [-80, 80], turned_in=True)
    points = np.concatenate([outer[0], inner[0]])
    faces = np.concatenate([outer[1], inner[1] + len(outer[0])])
    camera = view(lao=20)
    got = project(Scene(slab(-1000), [tool((points, faces), pose=pose)]), camera).paths_mm["tool"][0]
    exact = (cylinder_chord(camera, 9, pose) - cylinder_chord(camera, 6, pose)).mean(-1)
    # Away from the rims of both walls, and from the pipe's ends.
    away = [np.ptp(cylinder_chord(camera, r, pose), axis=-1) < 1.5 for r in (9, 6)]
    source, direction = rays(camera)
    near = source + direction * ((pose[:3, 3] - source) @ direction.mean((0, 1, 2)))
    along = np.abs((near - pose[:3, 3]) @ pose[:3, 2]).max(-1)
    inside = away[0] & away[1] & (exact > 0) & (along < 35)
    assert inside.sum() > 20
    assert np.abs(got - exact)[inside].max() < 0.001 * 18


def test_tissue_in_a_tool_is_replaced():
    patient, camera = slab(hu=400), view(48, lao=25, cran=10)
    rod = tool(closed_tube([7, 7], [-20, 20]), pose=pose_at((4, 0, 2), (1, 0, 0), 50))
    before, after = project(patient, camera, paths=["block"]), project(Scene(patient, [rod]), camera, paths=["block"])
    chord = after.paths_mm["tool"][0]
    tissue = before.area_density[0] / np.maximum(before.paths_mm["block"][0], 1e-6)
    inner = (chord > 3) & (before.paths_mm["block"][0] > 60)
    assert inner.sum() > 50
    expected = before.area_density[0] - tissue * chord
    assert np.abs(after.area_density[0, :2] - expected)[:, inner].max() < 1e-3 * expected[0][inner].max()
    assert np.allclose(after.paths_mm["block"][0][inner], (before.paths_mm["block"][0] - chord)[inner], atol=0.02)
    assert after.materials == ("titanium",)
    assert np.allclose(after.area_density[0, 2], chord * 0.45, rtol=1e-5)
    untouched = chord == 0
    assert (after.area_density[0, :2][:, untouched] == before.area_density[0][:, untouched]).all()
    assert not after.area_density[0, 2][untouched].any()
    assert (after.masks["block"] == before.masks["block"]).all()


def test_later_tools_replace_earlier_ones_and_nested_ones_count_once():
    camera, patient = view(), slab(-1000)
    outer, inner = sphere(14.0), sphere(6.0)
    alone = project(Scene(patient, [tool(outer, name="shell")]), camera).paths_mm["shell"]
    both = project(Scene(patient, [tool(outer, name="shell"), tool(inner, "tungsten", 19.3, name="core")]), camera)
    assert np.allclose(both.paths_mm["shell"] + both.paths_mm["core"], alone, atol=1e-5)
    assert both.paths_mm["core"].max() == pytest.approx(12, rel=0.02)
    hidden = project(Scene(patient, [tool(inner, name="seed"), tool(outer, name="cover")]), camera)
    assert not hidden.paths_mm["seed"].any()
    assert (hidden.masks["seed"] == both.masks["core"]).all()  # the whole silhouette, though nothing is left of it


def test_touching_and_overlapping_shells_of_one_part_count_once():
    camera = view()
    first, second = closed_tube([5, 5], [-20, 0]), closed_tube([5, 5], [-10, 20])
    points = np.concatenate([first[0], second[0]])
    joined = np.concatenate([first[1], second[1] + len(first[0])])
    whole = tool(closed_tube([5, 5], [-20, 20]))
    one, two = (project(Scene(slab(-1000), [t]), camera).paths_mm["tool"] for t in (tool((points, joined)), whole))
    assert np.allclose(one, two, atol=1e-5)


def test_no_ray_slips_between_faces():
    """A box whose edges and corners lie exactly on rays: every ray inside meets both sides."""
    corners = np.array(list(np.ndindex(2, 2, 2))) - 0.5
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    # With f = 1 and unit depth per pixel the near side's corners fall on multiples of 1/32 pixel, as the rays do.
    camera = Camera.from_matrix(np.array([[16.0, 0, 8], [0, 16.0, 8], [0, 0, 1]]), np.eye(4), 17, 17)
    box = tool((corners * [8, 8, 4], faces), pose=pose_at((0, 0, 18)))
    got = project(Scene(slab(-1000), [box]), camera).paths_mm["tool"][0]
    _, direction = rays(camera)
    at = [direction / direction[..., 2:] * depth for depth in (16.0, 20.0)]
    inside = np.all([np.abs(p[..., :2]).max(-1) < 4 for p in at], axis=0)
    exact = (4 / direction[..., 2]).mean(-1)
    full = inside.all(-1)
    assert full.sum() > 20
    assert np.allclose(got[full], exact[full], atol=1e-4)


def test_mirrored_and_rolled_views_see_the_same_lengths():
    ball = tool(sphere(10.0), pose=pose_at((6, 0, 4)))
    for camera in (view(view="pa", device="chest-pa"), view(view="lat", device="chest-pa"), view(view="ap")):
        got = project(Scene(slab(-1000), [ball]), camera).paths_mm["tool"][0]
        assert np.allclose(got, sphere_chord(camera, 10.0, (6, 0, 4)).mean(-1), atol=0.15)
        assert got.max() == pytest.approx(20, rel=0.05)


def test_tools_can_be_put_into_a_march_that_is_there():
    patient = slab()
    cameras = [view(40, lao=lao) for lao in (0, 40)]
    scene = Scene(patient, [tool(sphere(8.0))])
    plain = project(patient, cameras, paths=["block"], densities=["block"])
    added, direct = with_tools(plain, scene), project(scene, cameras, paths=["block"], densities=["block"])
    for one, other in ((added.area_density, direct.area_density), (added.depth_mm, direct.depth_mm)):
        assert np.array_equal(one, other, equal_nan=True)
    assert (added.masks["tool"] == direct.masks["tool"]).all()
    assert np.array_equal(added.paths_mm["block"], direct.paths_mm["block"])
    assert np.allclose(added.structure_density["block"], added.area_density[:, :2], atol=1e-4)
    with pytest.raises(InputError, match="holds tools already"):
        with_tools(added, scene)
    assert with_tools(plain, patient) is plain


def test_the_number_of_threads_changes_nothing():
    scene = Scene(slab(), [tool(sphere(15.0)), tool(sphere(9.0), pose=pose_at((8, 0, 0)), name="other")])
    one, two = (project(scene, view(), threads=n) for n in (1, 3))
    assert one.area_density.tobytes() == two.area_density.tobytes()


def test_several_volumes_lose_what_a_tool_replaces():
    patient, table = slab(200, size=30), slab(900, voxel=2.0, size=10)
    ball = tool(sphere(6.0))
    camera = view(48)
    before = project(Scene(patient, volumes=[table]), camera)
    after = project(Scene(patient, [ball], volumes=[table]), camera)
    middle = before.area_density[0, :, 24, 24].sum() - after.area_density[0, :2, 24, 24].sum()
    assert middle == pytest.approx(12 * 0.1 * 1.5, rel=0.15)  # bone at 900 HU weighs about 1.5 g/cm³


def test_a_wire_thinner_than_a_pixel_has_a_mask_without_gaps():
    wire = tool(closed_tube([0.2, 0.2], [-40, 40], sides=12), pose=pose_at((0.3, 0, 0), (0, 1, 0), 27))
    mask = project(Scene(slab(-1000), [wire]), view(40)).masks["tool"][0]
    assert mask.any(axis=1)[14:26].all()
    assert mask.sum() < 110


def test_a_big_tools_mask_is_true_to_half_a_pixel():
    camera = view(64)
    mask = project(Scene(slab(-1000), [tool(sphere(20.0))]), camera).masks["tool"][0]
    exact = (sphere_chord(camera, 20.0) > 0).mean(-1)
    assert (mask == (exact >= 0.5)).mean() > 0.999


def test_depth_is_that_of_the_nearest_surface():
    patient, camera = slab(size=20), view(48)
    ball = tool(sphere(6.0), pose=pose_at((0, 60, 0)))
    before, after = project(patient, camera).depth_mm[0], project(Scene(patient, [ball]), camera).depth_mm[0]
    in_front = (after < before) | np.isnan(before) & ~np.isnan(after)
    assert in_front.any()
    outside = project(Scene(patient, [ball]), camera).paths_mm["tool"][0] == 0
    assert np.array_equal(before[outside], after[outside], equal_nan=True)


def test_what_cannot_be_projected_is_refused():
    camera, ball = view(), tool(sphere(5.0))
    behind = ball.at(pose_at(camera.source_mm))
    with pytest.raises(InputError, match="behind the X-ray source"):
        project(Scene(slab(), [behind]), camera)
    with pytest.raises(InputError, match="Jacobian"):
        project(Scene(slab(), [ball]), camera, jacobian=True)
    with pytest.raises(InputError, match="no structure 'bone'"):
        project(Scene(slab(), [ball]), camera, paths=["bone"])
    outside = ball.at(pose_at((500, 0, 0)))
    assert not project(Scene(slab(), [outside]), camera).paths_mm["tool"].any()
