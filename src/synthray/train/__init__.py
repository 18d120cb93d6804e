"""Training on batches from anywhere: losses, the loop, checkpoints."""

from synthray.errors import MissingExtraError

try:
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as absent:
    raise MissingExtraError("training", "learn") from absent

from synthray.rooms import make_callable as _make_callable
from synthray.train.adaptation import AdaBNConfig as AdaBNConfig
from synthray.train.adaptation import AdaptConfig as AdaptConfig
from synthray.train.adaptation import AdaptResult as AdaptResult
from synthray.train.adaptation import AddaConfig as AddaConfig
from synthray.train.adaptation import CycleGanConfig as CycleGanConfig
from synthray.train.adaptation import MeanTeacherConfig as MeanTeacherConfig
from synthray.train.adaptation import SelfTrainingConfig as SelfTrainingConfig
from synthray.train.adaptation import TranslatedSource as TranslatedSource
from synthray.train.adaptation import adapt as adapt
from synthray.train.adaptation import train_translator as train_translator
from synthray.train.batches import ArraySource as ArraySource
from synthray.train.batches import Batch as Batch
from synthray.train.batches import BatchSource as BatchSource
from synthray.train.config import TrainConfig as TrainConfig
from synthray.train.loop import Progress as Progress
from synthray.train.loop import TrainResult as TrainResult
from synthray.train.loop import fit as fit
from synthray.train.losses import Losses as Losses
from synthray.train.losses import heatmap_loss as heatmap_loss
from synthray.train.losses import landmark_loss as landmark_loss
from synthray.train.losses import mask_loss as mask_loss
from synthray.train.recipe import TrainRecipe as TrainRecipe
from synthray.train.recipe import load_augment as load_augment
from synthray.train.recipe import load_train_recipe as load_train_recipe
from synthray.train.recipe import simulated_source as simulated_source
from synthray.train.recipe import train as train
from synthray.train.sheet import augment_sheet as augment_sheet
from synthray.train.unlabelled import Unlabelled as Unlabelled
from synthray.train.unlabelled import image_files as image_files
from synthray.train.unlabelled import read_unlabelled as read_unlabelled
from synthray.train.validate import Validation as Validation
from synthray.train.validate import validate as validate

_make_callable(__name__, train)
