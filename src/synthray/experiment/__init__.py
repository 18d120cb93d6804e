"""Experiments: the same question asked of several trainings, answered on real and on held-out simulated X-rays."""

from synthray.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ImportError as absent:
    raise MissingExtraError("experiments", "learn") from absent

from synthray.experiment.arms import SIZES as SIZES
from synthray.experiment.arms import Arm as Arm
from synthray.experiment.arms import Experiment as Experiment
from synthray.experiment.arms import Size as Size
from synthray.experiment.compare import Row as Row
from synthray.experiment.run import EXPERIMENTS as EXPERIMENTS
from synthray.experiment.run import ExperimentResult as ExperimentResult
from synthray.experiment.run import run_experiment as run_experiment
