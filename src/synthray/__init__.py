"""synthray: people's CT in, X-ray models that work on real X-rays out.

The public names load on first use, so that `import synthray` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synthray import tools
    from synthray.anatomy import LabelMap, Patient, Volume, body, disease, load_patient
    from synthray.dataset import Dataset, Recipe, generate, load_recipe, verify
    from synthray.demo import run_demo
    from synthray.errors import InputError, SynthrayError, SynthrayWarning
    from synthray.evaluate import evaluate
    from synthray.experiment import run_experiment
    from synthray.geometry import Camera, CArm, ViewSampler
    from synthray.imaging import ImagingSettings
    from synthray.models import load_model, predict_files
    from synthray.projector import Projection, project, with_tools
    from synthray.register import register
    from synthray.simulate import Sample, Scene, simulate
    from synthray.train import train

_HOMES = {
    "anatomy": ("LabelMap", "Patient", "Volume", "body", "load_patient"),
    "evaluate": ("evaluate",),
    "experiment": ("run_experiment",),
    "train": ("train",),
    "models": ("predict_files", "load_model"),
    "demo": ("run_demo",),
    "dataset": ("Dataset", "Recipe", "generate", "load_recipe", "verify"),
    "errors": ("InputError", "SynthrayError", "SynthrayWarning"),
    "geometry": ("CArm", "Camera", "ViewSampler"),
    "imaging": ("ImagingSettings",),
    "projector": ("Projection", "project", "with_tools"),
    "register": ("register",),
    "simulate": ("Sample", "Scene", "simulate"),
}
_ROOMS = {"tools": "synthray.tools", "disease": "synthray.anatomy.disease"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  # grouped by room
    "LabelMap", "Patient", "Volume", "body", "load_patient",
    "Dataset", "Recipe", "generate", "load_recipe", "verify",
    "InputError", "SynthrayError", "SynthrayWarning",
    "CArm", "Camera", "ViewSampler",
    "ImagingSettings",
    "Projection", "project", "with_tools",
    "tools", "disease",
    "Sample", "Scene", "simulate",
    "train", "load_model", "predict_files", "evaluate", "register", "run_experiment", "run_demo",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    if name not in _HOME_OF:
        raise AttributeError(f"module 'synthray' has no attribute '{name}'")
    return getattr(import_module(f"synthray.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF, *_ROOMS])
