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

from synthray.models.build import build_network as build_network
from synthray.models.checkpoint import Model as Model
from synthray.models.checkpoint import ModelSpec as ModelSpec
from synthray.models.checkpoint import load_model as load_model
from synthray.models.checkpoint import save_model as save_model
from synthray.models.export import export as export
from synthray.models.heatmaps import decode_heatmaps as decode_heatmaps
from synthray.models.heatmaps import encode_heatmaps as encode_heatmaps
from synthray.models.image_reader import read_image as read_image
from synthray.models.network import Network as Network
from synthray.models.network import NetworkConfig as NetworkConfig
from synthray.models.network import NetworkOutput as NetworkOutput
from synthray.models.network import TransUNetConfig as TransUNetConfig
from synthray.models.overlay import Layer as Layer
from synthray.models.overlay import display_grey as display_grey
from synthray.models.overlay import overlay as overlay
from synthray.models.overlay import png_bytes as png_bytes
from synthray.models.predict import Prediction as Prediction
from synthray.models.predict import TestTimeAveraging as TestTimeAveraging
from synthray.models.predict import predict as predict
from synthray.models.predict import predict_files as predict_files
from synthray.models.preprocess import Fit as Fit
from synthray.models.preprocess import Preprocessing as Preprocessing
from synthray.models.preprocess import fit_images as fit_images
from synthray.models.preprocess import normalise as normalise
from synthray.models.resunet import ResUNet as ResUNet
from synthray.models.sides import mirror_order as mirror_order
from synthray.models.sides import mirrored_name as mirrored_name
from synthray.models.translation import Translator as Translator
from synthray.models.translation import TranslatorConfig as TranslatorConfig
from synthray.models.translation import load_translator as load_translator
from synthray.models.transunet import TransUNet as TransUNet
from synthray.models.unet import UNet as UNet
from synthray.models.vit_weights import load_vit_weights as load_vit_weights
