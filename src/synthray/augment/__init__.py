"""Domain randomisation of batches, with masks and landmarks kept in step. Stands alone: tensors in, tensors out."""

from synthray.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ImportError as absent:
    raise MissingExtraError("augmentation", "learn") from absent

from synthray.augment.config import AugmentConfig as AugmentConfig
from synthray.augment.plan import Augmented as Augmented
from synthray.augment.plan import Plan as Plan
from synthray.augment.plan import Step as Step
from synthray.augment.plan import apply_plan as apply_plan
from synthray.augment.plan import augment as augment
from synthray.augment.plan import draw_plan as draw_plan
