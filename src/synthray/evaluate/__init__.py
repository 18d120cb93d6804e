"""Scores of a model on images with truth, and the report for people.

What an empty mask means: where truth and prediction are both empty, Dice, F1, F2 and IoU are 1; sensitivity is
undefined where the truth is empty, precision where nothing is predicted, the Hausdorff distance where only one of the
two is empty. What is undefined is NaN (null in JSON, empty in CSV) and left out of means; `n` counts what is in.
"""

from synthray.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ImportError as absent:
    raise MissingExtraError("evaluation", "learn") from absent

from synthray.evaluate.anything import dataset_cases as dataset_cases
from synthray.evaluate.anything import evaluate as evaluate
from synthray.evaluate.anything import sample_case as sample_case
from synthray.evaluate.bootstrap import bootstrap_interval as bootstrap_interval
from synthray.evaluate.cases import Case as Case
from synthray.evaluate.cases import read_deepfluoro as read_deepfluoro
from synthray.evaluate.cases import read_folder as read_folder
from synthray.evaluate.cases import read_pairs as read_pairs
from synthray.evaluate.cases import read_qata as read_qata
from synthray.evaluate.coco import read_coco as read_coco
from synthray.evaluate.consistency import Consistency as Consistency
from synthray.evaluate.consistency import consistent_landmarks as consistent_landmarks
from synthray.evaluate.deepfluoro import posed_from_deepfluoro as posed_from_deepfluoro
from synthray.evaluate.deepfluoro import read_posed_images as read_posed_images
from synthray.evaluate.deepfluoro import read_specimen as read_specimen
from synthray.evaluate.metrics import Counts as Counts
from synthray.evaluate.metrics import confidence_curve as confidence_curve
from synthray.evaluate.metrics import count_pixels as count_pixels
from synthray.evaluate.metrics import hausdorff as hausdorff
from synthray.evaluate.metrics import success_curve as success_curve
from synthray.evaluate.pages import evaluation_sections as evaluation_sections
from synthray.evaluate.pages import picture_blocks as picture_blocks
from synthray.evaluate.posed import PosedImage as PosedImage
from synthray.evaluate.posed import PosedPerson as PosedPerson
from synthray.evaluate.posed import posed_from_list as posed_from_list
from synthray.evaluate.protocol import evaluate_cases as evaluate_cases
from synthray.evaluate.protocol import evaluate_folder as evaluate_folder
from synthray.evaluate.protocol import evaluate_hdf5 as evaluate_hdf5
from synthray.evaluate.scoring import Evaluation as Evaluation
from synthray.evaluate.scoring import ScoredImage as ScoredImage
from synthray.evaluate.scoring import describe as describe
from synthray.evaluate.sources import open_source as open_source
from synthray.evaluate.sources import unpack_source as unpack_source
from synthray.page import Figure as Figure
from synthray.page import Gallery as Gallery
from synthray.page import KeyFigures as KeyFigures
from synthray.page import LineChart as LineChart
from synthray.page import Paragraph as Paragraph
from synthray.page import Section as Section
from synthray.page import Series as Series
from synthray.page import Table as Table
from synthray.page import render_report as render_report
from synthray.page import write_report as write_report
from synthray.rooms import make_callable as _make_callable

_make_callable(__name__, evaluate)
