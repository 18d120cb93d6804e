"""How the kernels of this room are compiled."""

from __future__ import annotations

from typing import Any, Final

import numba as nb

# Without `_nrt` numba counts references at every access to an array in a tuple, with atomic operations: that halves
# the speed of one thread and stops a second from helping. Such kernels can't allocate; they are handed their memory.
_OPTIONS: Final[dict[str, Any]] = {
    "cache": True,
    "nogil": True,
    "_nrt": False,
    "boundscheck": False,
    "error_model": "numpy",
    # No reassociation: results must not depend on how LLVM orders a sum.
    "fastmath": {"contract", "nsz", "arcp"},
}
kernel = nb.njit(**_OPTIONS)
inlined = nb.njit(inline="always", **_OPTIONS)
