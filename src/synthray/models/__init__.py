"""Networks, their files, and prediction on X-rays. Knows nothing of CT or simulation.

A trained model is a folder: `model.safetensors` (weights) and `model.json` (everything else), neither of which can
run code.
"""

from synthray.errors import MissingExtraError

try:
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as absent:
    raise MissingExtraError("networks (training, prediction, evaluation)", "learn") from absent

from synthray.models.checkpoint import Model as Model
from synthray.models.checkpoint import ModelSpec as ModelSpec
from synthray.models.checkpoint import load_model as load_model
from synthray.models.checkpoint import save_model as save_model
from synthray.models.heatmaps import decode_heatmaps as decode_heatmaps
from synthray.models.heatmaps import encode_heatmaps as encode_heatmaps
from synthray.models.image_reader import read_image as read_image
from synthray.models.overlay import Layer as Layer
from synthray.models.overlay import display_grey as display_grey
from synthray.models.overlay import overlay as overlay
from synthray.models.overlay import png_bytes as png_bytes
from synthray.models.predict import Prediction as Prediction
from synthray.models.predict import predict as predict
from synthray.models.predict import predict_files as predict_files
from synthray.models.preprocess import Fit as Fit
from synthray.models.preprocess import Preprocessing as Preprocessing
from synthray.models.preprocess import fit_images as fit_images
from synthray.models.preprocess import normalise as normalise
from synthray.models.sides import mirror_order as mirror_order
from synthray.models.sides import mirrored_name as mirrored_name
from synthray.models.unet import NetworkConfig as NetworkConfig
from synthray.models.unet import NetworkOutput as NetworkOutput
from synthray.models.unet import UNet as UNet
from synthray.models.unet import build_network as build_network
