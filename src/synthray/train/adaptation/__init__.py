"""Carrying a trained model over to real images that nobody labelled; nothing here can read a label of them."""

from synthray.train.adaptation.adapt import adapt as adapt
from synthray.train.adaptation.adapt import check_config as check_config
from synthray.train.adaptation.config import AdaBNConfig as AdaBNConfig
from synthray.train.adaptation.config import AdaptConfig as AdaptConfig
from synthray.train.adaptation.config import AddaConfig as AddaConfig
from synthray.train.adaptation.config import CycleGanConfig as CycleGanConfig
from synthray.train.adaptation.config import MeanTeacherConfig as MeanTeacherConfig
from synthray.train.adaptation.config import SelfTrainingConfig as SelfTrainingConfig
from synthray.train.adaptation.cyclegan import TranslatedSource as TranslatedSource
from synthray.train.adaptation.cyclegan import train_translator as train_translator
from synthray.train.adaptation.session import AdaptResult as AdaptResult
