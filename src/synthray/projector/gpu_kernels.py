"""The march as Warp kernels: one thread per pixel, the same source for CUDA and for Warp's CPU device.

Sampling is that of `rays.py`. A ray's entry, exit and slope are found in double precision; the walk between them is in
single precision. Readings are interpolated by hand from packed words: a texture unit would weigh with 8 bits.

Volumes are kept in contiguous blocks of 4 x 4 x 4 voxels, so that the 32 rays of a CUDA warp (8 columns by 4 rows)
share cache lines whatever the direction of the view.
"""

import warp as wp

from synthray.projector.rays import RIM, STEEPEST
from synthray.projector.result import SURFACE_DENSITY_G_CM3

# Pixels of a CUDA warp.
TILE_COLUMNS = 8
TILE_ROWS = 4
# Voxels along the side of a block, as a power of two.
BLOCK_SHIFT = 2
# Slopes below this move a ray by less than 1e-8 voxels over the largest grid.
_FLAT = 1e-12


@wp.struct
class Grid:
    """A volume on a device, in blocks.

    Attributes:
        words: density of adipose (low 16 bits) and of cortical bone (high 16 bits) of each voxel, in units of `scale`.
        codes: label code of each voxel; empty when nothing is labelled.
        bits: (code, word) structures that each code belongs to.
        size: voxels along each axis.
        stride: words from one block to the next along each axis.
        scale: g/cm³ of one unit.
    """

    words: wp.array(dtype=wp.uint32)
    codes: wp.array(dtype=wp.uint16)
    bits: wp.array2d(dtype=wp.uint64)
    size: wp.vec3i
    stride: wp.vec3i
    scale: wp.vec2f


@wp.struct
class Rays:
    """The rays of a batch of views; see `rays.RayBundle`."""

    origin: wp.array(dtype=wp.vec3d)
    matrix: wp.array(dtype=wp.mat33d)
    inverse_K: wp.array(dtype=wp.mat33d)
    axis: wp.array(dtype=wp.int32)
    supersample: wp.array(dtype=wp.int32)
    rows: wp.int32
    columns: wp.int32


@wp.struct
class Walk:
    """One ray's way through the grid: `count` slices along `axis` from `first` on, in steps of `step`.

    At slice n of the walk it is at `place + n * slope` along the axes `u` and `v` and at `depth + n * depth_step` mm.
    """

    axis: wp.int32
    u: wp.int32
    v: wp.int32
    first: wp.int32
    step: wp.int32
    count: wp.int32
    place: wp.vec2f
    slope: wp.vec2f
    depth: wp.float32
    depth_step: wp.float32
    reach_mm: wp.float32
    speed: wp.float32


@wp.struct
class Corners:
    """Where a reading lies: word offsets of the four voxels around it, and the fractions between them."""

    a: wp.int32
    b: wp.int32
    c: wp.int32
    d: wp.int32
    fraction: wp.vec2f


@wp.func
def within_block(axis: wp.int32) -> wp.int32:
    """Words from one voxel to the next along an axis, inside a block."""
    return 1 << (wp.static(BLOCK_SHIFT) * (2 - axis))


@wp.func
def along(index: wp.int32, stride: wp.int32, inner: wp.int32) -> wp.int32:
    """Word offset of a voxel's index along one axis; the offsets of the three axes add up."""
    return (index >> wp.static(BLOCK_SHIFT)) * stride + (index & wp.static((1 << BLOCK_SHIFT) - 1)) * inner


@wp.func
def slice_axis(direction: wp.vec3d, view_axis: wp.int32) -> wp.int32:
    """The view's axis, or for very slanting rays the one they cross fastest."""
    speed = wp.vec3d(wp.abs(direction[0]), wp.abs(direction[1]), wp.abs(direction[2]))
    fastest = int(0)
    if speed[1] > speed[fastest]:
        fastest = 1
    if speed[2] > speed[fastest]:
        fastest = 2
    if speed[fastest] > wp.float64(wp.static(STEEPEST)) * speed[view_axis]:
        return fastest
    return view_axis


@wp.func
def clipped(low_high: wp.vec2d, place: wp.float64, slope: wp.float64, size: wp.int32) -> wp.vec2d:
    """The slices at which `place + slice * slope` lies within the grid, out of `low_high`; low > high when none."""
    near = wp.float64(wp.static(RIM))
    far = wp.float64(size - 1) - near
    if wp.abs(slope) < wp.float64(wp.static(_FLAT)):
        if place < near or place > far:
            return wp.vec2d(wp.float64(1.0), wp.float64(0.0))
        return low_high
    one = (near - place) / slope
    other = (far - place) / slope
    low = wp.max(low_high[0], wp.ceil(wp.min(one, other)))
    high = wp.min(low_high[1], wp.floor(wp.max(one, other)))
    return wp.vec2d(low, high)


@wp.func
def enter(rays: Rays, view: wp.int32, column: wp.int32, row: wp.int32, size: wp.vec3i) -> Walk:
    """The walk of one ray; `column` and `row` count rays."""
    pixel = wp.vec3d(wp.float64(column), wp.float64(row), wp.float64(1.0))
    direction = rays.matrix[view] * pixel
    origin = rays.origin[view]
    walk = Walk()
    walk.axis = slice_axis(direction, rays.axis[view])
    walk.u = (walk.axis + 1) % 3
    walk.v = (walk.axis + 2) % 3
    speed = direction[walk.axis]
    start = origin[walk.axis]
    slope = wp.vec2d(direction[walk.u] / speed, direction[walk.v] / speed)
    place = wp.vec2d(origin[walk.u] - start * slope[0], origin[walk.v] - start * slope[1])
    # The outermost slices are empty.
    between = wp.vec2d(wp.float64(1.0), wp.float64(size[walk.axis] - 2))
    walk.step = 1
    if speed > wp.float64(0.0):
        between = wp.vec2d(wp.max(between[0], wp.floor(start) + wp.float64(1.0)), between[1])
    else:
        between = wp.vec2d(between[0], wp.min(between[1], wp.ceil(start) - wp.float64(1.0)))
        walk.step = -1
    between = clipped(between, place[0], slope[0], size[walk.u])
    between = clipped(between, place[1], slope[1], size[walk.v])
    walk.count = 0
    if between[0] <= between[1]:
        walk.count = wp.int32(between[1] - between[0]) + 1
        first = between[0]
        if walk.step < 0:
            first = between[1]
        along_step = wp.float64(walk.step)
        walk.first = wp.int32(first)
        walk.place = wp.vec2f(wp.float32(place[0] + first * slope[0]), wp.float32(place[1] + first * slope[1]))
        walk.slope = wp.vec2f(wp.float32(along_step * slope[0]), wp.float32(along_step * slope[1]))
        walk.depth = wp.float32((first - start) / speed)
        walk.depth_step = wp.float32(along_step / speed)
        walk.reach_mm = wp.float32(wp.length(rays.inverse_K[view] * pixel) / wp.abs(speed))
        walk.speed = wp.float32(speed)
    return walk


@wp.func
def corners(grid: Grid, walk: Walk, n: wp.int32) -> Corners:
    """Where the n-th reading of a walk lies. Rounding may lead 1e-3 past the rim; blocks reach one voxel further."""
    u = walk.place[0] + wp.float32(n) * walk.slope[0]
    v = walk.place[1] + wp.float32(n) * walk.slope[1]
    i = wp.int32(u)
    j = wp.int32(v)
    base = along(walk.first + n * walk.step, grid.stride[walk.axis], within_block(walk.axis))
    low_u = base + along(i, grid.stride[walk.u], within_block(walk.u))
    high_u = base + along(i + 1, grid.stride[walk.u], within_block(walk.u))
    low_v = along(j, grid.stride[walk.v], within_block(walk.v))
    high_v = along(j + 1, grid.stride[walk.v], within_block(walk.v))
    where = Corners()
    where.a = low_u + low_v
    where.b = high_u + low_v
    where.c = low_u + high_v
    where.d = high_u + high_v
    where.fraction = wp.vec2f(u - wp.float32(i), v - wp.float32(j))
    return where


@wp.func
def unpacked(word: wp.uint32) -> wp.vec2f:
    """Both densities of a voxel, in units."""
    return wp.vec2f(wp.float32(word & wp.uint32(0xFFFF)), wp.float32(word >> wp.uint32(16)))


@wp.func
def nearest(where: Corners) -> wp.int32:
    """Word offset of the voxel nearest to a reading; halfway goes to the lower one."""
    if where.fraction[1] > 0.5:
        return wp.where(where.fraction[0] > 0.5, where.d, where.c)
    return wp.where(where.fraction[0] > 0.5, where.b, where.a)


@wp.func
def pixel_of(thread: wp.int32, columns: wp.int32) -> wp.vec2i:
    """(column, row) of a thread: 32 threads in a row take a tile of 8 x 4 pixels."""
    tile = thread // wp.static(TILE_COLUMNS * TILE_ROWS)
    lane = thread % wp.static(TILE_COLUMNS * TILE_ROWS)
    tiles = (columns + wp.static(TILE_COLUMNS - 1)) // wp.static(TILE_COLUMNS)
    column = (tile % tiles) * wp.static(TILE_COLUMNS) + lane % wp.static(TILE_COLUMNS)
    row = (tile // tiles) * wp.static(TILE_ROWS) + lane // wp.static(TILE_COLUMNS)
    return wp.vec2i(column, row)


@wp.func
def reading(grid: Grid, where: Corners) -> wp.vec2f:
    """Both densities, in units, by bilinear interpolation."""
    s = where.fraction[0]
    t = where.fraction[1]
    low = (1.0 - s) * unpacked(grid.words[where.a]) + s * unpacked(grid.words[where.b])
    high = (1.0 - s) * unpacked(grid.words[where.c]) + s * unpacked(grid.words[where.d])
    return (1.0 - t) * low + t * high


@wp.func
def note(
    grid: Grid,
    members: wp.array2d(dtype=wp.float32),
    code: wp.int32,
    length_mm: wp.float32,
    view: wp.int32,
    row: wp.int32,
    column: wp.int32,
    words: wp.array4d(dtype=wp.uint64),
    paths: wp.array4d(dtype=wp.float32),
):
    """Enter a run of equal label codes into a pixel's words and paths; a pixel belongs to one thread."""
    if code == 0:
        return
    for w in range(words.shape[3]):
        words[view, row, column, w] = words[view, row, column, w] | grid.bits[code, w]
    for p in range(paths.shape[1]):
        paths[view, p, row, column] = paths[view, p, row, column] + members[code, p] * length_mm


@wp.func
def _clear(view: int, row: int, column: int, words: wp.array4d(dtype=wp.uint64), paths: wp.array4d(dtype=wp.float32)):
    for w in range(words.shape[3]):
        words[view, row, column, w] = wp.uint64(0)
    for p in range(paths.shape[1]):
        paths[view, p, row, column] = 0.0


@wp.kernel(enable_backward=False)
def march(
    grid: Grid,
    rays: Rays,
    members: wp.array2d(dtype=wp.float32),
    density: wp.array4d(dtype=wp.float32),
    words: wp.array4d(dtype=wp.uint64),
    depth: wp.array3d(dtype=wp.float32),
    paths: wp.array4d(dtype=wp.float32),
):
    """Area density of every pixel; words, depth and paths where the arrays for them are not empty.

    Args:
        grid: the volume.
        rays: the views.
        members: (code, path) 1 where a code belongs to a path's structure.
        density: (view, 2, row, column).
        words: (view, row, column, word).
        depth: (view, row, column).
        paths: (view, path, row, column).
    """
    view, thread = wp.tid()
    pixel = pixel_of(thread, rays.columns)
    column, row = pixel[0], pixel[1]
    if column >= rays.columns or row >= rays.rows:
        return
    _clear(view, row, column, words, paths)
    labelled = grid.codes.shape[0] > 0 and words.shape[3] + paths.shape[1] > 0
    fine = rays.supersample[view]
    share = 1.0 / wp.float32(fine * fine)
    total = wp.vec2f(0.0, 0.0)
    surface = float(wp.inf)
    for k in range(fine * fine):
        walk = enter(rays, view, column * fine + k % fine, row * fine + k // fine, grid.size)
        summed = wp.vec2f(0.0, 0.0)
        met = int(-1)
        code = int(0)
        run = int(0)
        for n in range(walk.count):
            where = corners(grid, walk, n)
            value = reading(grid, where)
            summed += value
            if met < 0 and wp.dot(value, grid.scale) > wp.static(SURFACE_DENSITY_G_CM3):
                met = n
            if labelled:
                here = wp.int32(grid.codes[nearest(where)])
                if here != code:
                    note(grid, members, code, wp.float32(run) * walk.reach_mm * share, view, row, column, words, paths)
                    code = here
                    run = 0
                run += 1
        if labelled:
            note(grid, members, code, wp.float32(run) * walk.reach_mm * share, view, row, column, words, paths)
        total += summed * walk.reach_mm
        if met >= 0:
            surface = wp.min(surface, walk.depth + wp.float32(met) * walk.depth_step)
    density[view, 0, row, column] = total[0] * grid.scale[0] * 0.1 * share
    density[view, 1, row, column] = total[1] * grid.scale[1] * 0.1 * share
    if depth.shape[0] > 0:
        depth[view, row, column] = wp.where(surface < wp.inf, surface, wp.nan)


@wp.kernel(enable_backward=False)
def differentiate(grid: Grid, rays: Rays, gradient: wp.array4d(dtype=wp.float32)):
    """Derivatives of every pixel's area densities with respect to its ray; see `reference._gradient`.

    Args:
        grid: the volume.
        rays: the views.
        gradient: (view, 2 * 6, row, column), for each density those to the origin and to the direction.
    """
    view, thread = wp.tid()
    pixel = pixel_of(thread, rays.columns)
    column, row = pixel[0], pixel[1]
    if column >= rays.columns or row >= rays.rows:
        return
    for entry in range(12):
        gradient[view, entry, row, column] = 0.0
    fine = rays.supersample[view]
    for k in range(fine * fine):
        walk = enter(rays, view, column * fine + k % fine, row * fine + k // fine, grid.size)
        summed = wp.vec2f(0.0, 0.0)
        by_u = wp.vec2f(0.0, 0.0)
        by_v = wp.vec2f(0.0, 0.0)
        deep_u = wp.vec2f(0.0, 0.0)
        deep_v = wp.vec2f(0.0, 0.0)
        for n in range(walk.count):
            where = corners(grid, walk, n)
            s = where.fraction[0]
            t = where.fraction[1]
            a = unpacked(grid.words[where.a])
            b = unpacked(grid.words[where.b])
            c = unpacked(grid.words[where.c])
            d = unpacked(grid.words[where.d])
            slope_u = (1.0 - t) * (b - a) + t * (d - c)
            slope_v = (1.0 - s) * (c - a) + s * (d - b)
            mm = walk.depth + wp.float32(n) * walk.depth_step
            summed += (1.0 - t) * ((1.0 - s) * a + s * b) + t * ((1.0 - s) * c + s * d)
            by_u += slope_u
            by_v += slope_v
            deep_u += mm * slope_u
            deep_v += mm * slope_v
        if walk.count > 0:
            # `walk.slope` is per step of the walk; the point stays on its slice as the ray changes.
            along_u = wp.float32(walk.step) * walk.slope[0]
            along_v = wp.float32(walk.step) * walk.slope[1]
            for basis in range(2):
                unit = grid.scale[basis] * 0.1 * walk.reach_mm / wp.float32(fine * fine)
                to = basis * 6
                gradient[view, to + walk.u, row, column] += unit * by_u[basis]
                gradient[view, to + walk.v, row, column] += unit * by_v[basis]
                by_axis = -(along_u * by_u[basis] + along_v * by_v[basis])
                gradient[view, to + walk.axis, row, column] += unit * by_axis
                gradient[view, to + 3 + walk.u, row, column] += unit * deep_u[basis]
                gradient[view, to + 3 + walk.v, row, column] += unit * deep_v[basis]
                # A step's length follows the direction's component along the axis.
                deep_axis = -(along_u * deep_u[basis] + along_v * deep_v[basis]) - summed[basis] / walk.speed
                gradient[view, to + 3 + walk.axis, row, column] += unit * deep_axis


@wp.kernel(enable_backward=False)
def block_words(slab: wp.array3d(dtype=wp.uint32), first: wp.int32, stride: wp.vec3i, out: wp.array(dtype=wp.uint32)):
    """Put slices of densities, from index `first` on, where they belong in the blocks."""
    i, j, k = wp.tid()
    out[block_offset(i + first, j, k, stride)] = slab[i, j, k]


@wp.kernel(enable_backward=False)
def block_codes(slab: wp.array3d(dtype=wp.uint16), first: wp.int32, stride: wp.vec3i, out: wp.array(dtype=wp.uint16)):
    """Put slices of label codes, from index `first` on, where they belong in the blocks."""
    i, j, k = wp.tid()
    out[block_offset(i + first, j, k, stride)] = slab[i, j, k]


@wp.func
def block_offset(i: wp.int32, j: wp.int32, k: wp.int32, stride: wp.vec3i) -> wp.int32:
    """Word offset of a voxel."""
    return (
        along(i, stride[0], within_block(0))
        + along(j, stride[1], within_block(1))
        + along(k, stride[2], within_block(2))
    )
