"""Sixteen-lane vectors for numba kernels, written as LLVM vector instructions.

numba leaves vectorising to LLVM, which can't see through a march's look-ups. With vectors as values the kernels say
which lanes hold what, and LLVM turns them into whatever the processor has: AVX-512, AVX2 or NEON.

The lanes of one step are two neighbouring slices of a ray: 0 to 7 the first, 8 to 15 the second. In each half, lanes 0
to 3 belong to the lower row of voxels (along u) and 4 to 7 to the upper; in each of these, the first two lanes belong
to the lower voxel (along v) and the others to the upper; and even lanes are basis 0, odd lanes basis 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 16
# Positions are voxel indices in fixed point: 12 bits of index, so grids of up to 4095 voxels a side, and a fraction.
FRACTION_BITS = 20
# Two 16-bit densities.
VOXEL_BYTES = 4

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_SECOND = [0] * 8 + [1] * 8
_UPPER_U = [0, 0, 0, 0, 1, 1, 1, 1] * 2
_UPPER_V = [0, 0, 1, 1] * 4


class Vector(types.Type):
    """The numba type of a vector of sixteen numbers."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(name)
        self.element = element


FLOATS = Vector("floats16", _F32)
INTS = Vector("ints16", _I32)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(vector.element, LANES))


def _constant(element: ir.Type, values: list[Any]) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, len(values)), values)


def _undefined(element: ir.Type, lanes: int = LANES) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, lanes), ir.Undefined)


def _splat(builder: Any, element: ir.Type, value: Any) -> Any:
    one = builder.insert_element(_undefined(element), value, _I32(0))
    return builder.shuffle_vector(one, _undefined(element), _constant(_I32, [0] * LANES))


def _positions(upper: list[int]) -> tuple[Any, Any]:
    """Intrinsics that make the lanes of positions along u or v, and of their advance by two slices.

    Where a lane belongs to the lower voxel it holds the complement of the position, whose fraction is one minus the
    position's: the fraction bits of every lane are its weight.
    """
    flip = [upper_lane - 1 for upper_lane in upper]

    @intrinsic
    def start(typing: Any, at: Any, step: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first, step = _splat(builder, _I32, args[0]), _splat(builder, _I32, args[1])
            here = builder.add(first, builder.mul(step, _constant(_I32, _SECOND)))
            return builder.xor(here, _constant(_I32, flip))

        return INTS(types.int32, types.int32), generate

    @intrinsic
    def advance(typing: Any, step: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            both = _splat(builder, _I32, builder.shl(args[0], _I32(1)))
            return builder.mul(both, _constant(_I32, [2 * lane + 1 for lane in flip]))

        return INTS(types.int32), generate

    return start, advance


positions_u, advance_u = _positions(_UPPER_U)
positions_v, advance_v = _positions(_UPPER_V)


def _binary(kind: Vector, operation: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def binary(typing: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return operation(builder, *args)

        return kind(kind, kind), generate

    return binary


moved = _binary(INTS, lambda builder, left, right: builder.add(left, right))
product = _binary(FLOATS, lambda builder, left, right: builder.fmul(left, right))
total = _binary(FLOATS, lambda builder, left, right: builder.fadd(left, right))


@intrinsic
def add_product(typing: Any, sums: Any, left: Any, right: Any) -> Any:
    """Sums + left x right, fused where the processor can."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scaled = builder.fmul(args[1], args[2], flags=("contract",))
        return builder.fadd(args[0], scaled, flags=("contract",))

    return FLOATS(FLOATS, FLOATS, FLOATS), generate


@intrinsic
def fractions(typing: Any, positions: Any) -> Any:
    """Weights of the lanes along one axis, in units of 2^-FRACTION_BITS."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.and_(args[0], _constant(_I32, [(1 << FRACTION_BITS) - 1] * LANES))
        return builder.sitofp(bits, ir.VectorType(_F32, LANES))

    return FLOATS(INTS), generate


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """The same number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, _F32, args[0])

    return FLOATS(types.float32), generate


def _lanes(values: list[float]) -> Any:
    @intrinsic
    def constant(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _constant(_F32, values)

        return FLOATS(), generate

    return constant


first_slice_only = _lanes([1.0 - lane for lane in _SECOND])
second_slice = _lanes([float(lane) for lane in _SECOND])


def _reader(width: ir.Type, count: int) -> Any:
    """An intrinsic that gathers voxels from `count` addresses into lanes, as floats."""

    def read(builder: Any, addresses: Any) -> Any:
        words = _undefined(width, count)
        for lane, address in enumerate(addresses):
            word = builder.load(builder.inttoptr(address, ir.PointerType(width)), align=4)
            words = builder.insert_element(words, word, _I32(lane))
        halves = builder.bitcast(words, ir.VectorType(_I16, LANES))
        return builder.sitofp(builder.zext(halves, ir.VectorType(_I32, LANES)), ir.VectorType(_F32, LANES))

    return read


_read_pairs, _read_singles = _reader(_I64, 4), _reader(_I32, 8)


@intrinsic
def stride_v(typing: Any, strides: Any) -> Any:
    """Bytes from voxel to voxel along v; `strides` are (axis, u) where v is innermost in memory, else (axis, u, v)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if strides.count == 2:
            return context.get_constant(types.intp, VOXEL_BYTES)
        return builder.extract_value(args[0], 2)

    return types.intp(strides), generate


@intrinsic
def read(typing: Any, slice0: Any, first: Any, second: Any, strides: Any) -> Any:
    """The voxels around two readings, whose lower voxels lie at two offsets from an address; `strides` as above."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base, *lower, steps = args
        along_u = builder.extract_value(steps, 1)
        rows = [builder.add(base, at) for offset in lower for at in (offset, builder.add(offset, along_u))]
        if strides.count == 2:
            return _read_pairs(builder, rows)
        along_v = builder.extract_value(steps, 2)
        return _read_singles(builder, [at for row in rows for at in (row, builder.add(row, along_v))])

    return FLOATS(types.intp, types.intp, types.intp, strides), generate


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """Sixteen float32 from memory."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.PointerType(ir.VectorType(_F32, LANES))), align=4)

    return FLOATS(types.intp), generate


@intrinsic
def store(typing: Any, address: Any, vector: Any) -> Any:
    """Sixteen float32 to memory."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], ir.PointerType(ir.VectorType(_F32, LANES))), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, FLOATS), generate


@intrinsic
def fetch(typing: Any, address: Any) -> Any:
    """Ask for a cache line before it is needed (LLVM `prefetch`: read, second-level cache, data)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.PointerType(ir.IntType(8)))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(prefetch, [pointer, _I32(0), _I32(2), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.intp), generate
