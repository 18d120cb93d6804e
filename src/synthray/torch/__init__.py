"""Projection and imaging on tensors, on the CPU and on CUDA devices. Needs the extra `learn`."""

import importlib.util as _util

from synthray.errors import MissingExtraError as _MissingExtraError

if _util.find_spec("torch") is None:
    raise _MissingExtraError("synthray.torch", "learn")

from synthray.torch.imaging import radiograph as radiograph
from synthray.torch.projector import Projector as Projector
from synthray.torch.projector import se3_exp as se3_exp
