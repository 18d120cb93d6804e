"""Rooms that share their name with their main function: `sr.simulate` is the room and can be called."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(module_name: str, function: Callable[..., Any]) -> None:
    """Let a loaded module be called as `function`. Importing a submodule binds it in its package, over any function."""
    body = {
        "__call__": staticmethod(function),
        "__doc__": function.__doc__,
        "__signature__": inspect.signature(function),
    }
    sys.modules[module_name].__class__ = type("CallableRoom", (ModuleType,), body)
