"""Networks of CycleGAN (Zhu et al., arXiv 1703.10593), and a trained translator as a folder of two files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional

from synthray.errors import InputError
from synthray.files import write_atomically
from synthray.models.checkpoint import first_problem
from synthray.models.preprocess import Preprocessing, normalise

WEIGHTS, DESCRIPTION = "translator.safetensors", "translator.json"
# Normalised images go a little beyond -1 to 1.
_REACH = 1.5


class TranslatorConfig(BaseModel):
    """Sizes of the networks; the defaults are the paper's.

    Attributes:
        width: channels of the generator's first convolution and, at most, of the discriminator's.
        blocks: residual blocks of the generator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=64, ge=4, le=256)
    blocks: int = Field(default=9, ge=1, le=32)


def _normalised(layer: nn.Module, channels: int) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.layers = nn.Sequential(*_normalised(first, channels), second, nn.InstanceNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class Generator(nn.Module):
    """ResNet generator: two convolutions down, residual blocks, two up; sides must be multiples of 4."""

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        width = config.width
        layers = _normalised(nn.Conv2d(1, width, 7, padding=3, padding_mode="reflect"), width)
        for inputs in (width, 2 * width):
            layers += _normalised(nn.Conv2d(inputs, 2 * inputs, 3, stride=2, padding=1), 2 * inputs)
        layers += [_Residual(4 * width) for _ in range(config.blocks)]
        for inputs in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(inputs, inputs // 2, 3, stride=2, padding=1, output_padding=1)
            layers += _normalised(up, inputs // 2)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect"))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1, h, w) normalised images in the other look."""
        return _REACH * torch.tanh(self.layers(images) / _REACH)


class PatchDiscriminator(nn.Module):
    """Tells 70 x 70 px patches of one look from those of another."""

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for inputs, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [
                nn.Conv2d(inputs, 2 * inputs, 4, stride=stride, padding=1),
                nn.InstanceNorm2d(2 * inputs),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1, h', w') scores, one per patch."""
        return self.layers(images)


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    translator: TranslatorConfig
    preprocessing: Preprocessing
    recipe: dict[str, object]
    weights_sha256: str


@dataclass(frozen=True, eq=False)
class Translator:
    """A generator in evaluation mode, from the look of one set of images to that of another."""

    generator: Generator
    preprocessing: Preprocessing

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """(n, 1, h, w) grey images of any range and size in the other look, about -1 to 1, pixels where they were."""
        rows, columns = images.shape[-2:]
        inputs = functional.pad(normalise(images, self.preprocessing), (0, -columns % 4, 0, -rows % 4), "replicate")
        device = next(self.generator.parameters()).device
        return self.generator(inputs.to(device))[..., :rows, :columns].to(images.device)


def save_translator(
    folder: Path,
    generator: Generator,
    config: TranslatorConfig,
    preprocessing: Preprocessing,
    recipe: dict[str, object],
) -> None:
    """Write `translator.safetensors` and `translator.json`.

    Raises:
        InputError: the folder can't be written.
    """
    weights = save_tensors({name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()})
    digest = hashlib.sha256(weights).hexdigest()
    described = _Description(translator=config, preprocessing=preprocessing, recipe=recipe, weights_sha256=digest)
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / DESCRIPTION, described.model_dump_json(indent=2).encode() + b"\n")


def load_translator(folder: str | Path, device: str | torch.device = "cpu") -> Translator:
    """The translator in a folder.

    Raises:
        InputError: a file is missing, truncated, changed, or does not fit the other.
    """
    path = Path(folder)
    try:
        described = _Description.model_validate_json((path / DESCRIPTION).read_bytes())
        weights = (path / WEIGHTS).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: holds no finished translator ({WEIGHTS}, {DESCRIPTION})") from error
    except ValidationError as error:
        raise InputError(f"{path / DESCRIPTION}: not a translator's description: {first_problem(error)}") from error
    if hashlib.sha256(weights).hexdigest() != described.weights_sha256:
        raise InputError(f"{path / WEIGHTS}: is truncated or does not belong to {DESCRIPTION} beside it")
    generator = Generator(described.translator)
    try:
        generator.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path / WEIGHTS}: does not fit the network in {DESCRIPTION}") from error
    return Translator(generator.eval().to(device), described.preprocessing)
