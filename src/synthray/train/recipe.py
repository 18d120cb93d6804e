"""`train`: a training recipe carried out on a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from synthray.augment import AugmentConfig
from synthray.dataset import Dataset, Redraw
from synthray.dataset.draws import Strict
from synthray.dataset.recipe import parse, read_yaml
from synthray.errors import InputError
from synthray.models import load_translator
from synthray.train.adaptation.cyclegan import TranslatedSource
from synthray.train.config import TrainConfig
from synthray.train.loop import Progress, TrainResult, fit
from synthray.train.pool import PoolSource, load_pool
from synthray.train.stream import Stream, StreamSource, open_stream


class TrainRecipe(Strict):
    """What to learn, from which data set, and how."""

    data: str | None = Field(None, description="folder of a finished data set; relative to the recipe's file")
    stream: Stream | None = Field(None, description="instead of data: simulated while the network trains")
    structures: list[str] | None = Field(None, description="names to learn; all of the set's by default")
    landmarks: list[str] | None = Field(None, description="names to learn; all of the set's by default")
    redraw: Redraw | None = Field(None, description="fresh physics for each use of a stored march")
    translator: str | None = Field(None, description="folder of a translator that the training images go through")
    training: TrainConfig = TrainConfig()
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.data is None) == (self.stream is None):
            raise ValueError("give either 'data' (a finished data set) or 'stream'")
        return self


def train(
    recipe: str | Path | Mapping[str, Any] | TrainRecipe,
    out: str | Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a network by a recipe; run it again to go on after an interruption.

    The people of split `val` are scored on the way and choose nothing.

    Args:
        recipe: a YAML file, a mapping, or a recipe.
        out: the run's folder: model, history, checkpoint.
        on_progress: called after every step.

    Raises:
        InputError: the recipe or the data set is unusable, or the folder holds something else.
    """
    checked = load_train_recipe(recipe)
    structures = tuple(checked.structures) if checked.structures is not None else None
    landmarks = tuple(checked.landmarks) if checked.landmarks is not None else None
    source: PoolSource | StreamSource
    conditions: dict[str, Any]
    with ExitStack() as stack:
        if checked.stream is not None:
            source, facts = open_stream(checked.stream, checked.redraw, structures, landmarks)
            stack.enter_context(closing(source))
            held_out, conditions = source.held_out(), dict(facts)
        else:
            source, held_out, conditions = _from_data(str(checked.data), checked.redraw, structures, landmarks)
        if checked.translator is not None:
            conditions["translator"] = checked.translator
        images = source if checked.translator is None else TranslatedSource(source, load_translator(checked.translator))
        return fit(
            images,
            held_out,
            checked.training,
            out,
            seed=checked.seed,
            on_progress=on_progress,
            conditions=conditions,
        )


def _from_data(
    data: str, redraw: Redraw | None, structures: tuple[str, ...] | None, landmarks: tuple[str, ...] | None
) -> tuple[PoolSource, PoolSource | None, dict[str, Any]]:
    """The people of split `train`, those of `val`, and what `model.json` says of the set."""
    dataset = Dataset.open(data)
    source = load_pool(dataset, "train", redraw, structures, landmarks)
    if source is None:
        raise InputError(f"{data}: nobody is in split 'train', so there is nothing to learn from")
    held_out = load_pool(dataset, "val", redraw, source.structures, source.landmarks)
    conditions = {
        "dataset": dataset.recipe.name,
        "images": len(dataset),
        "people": len(dataset.recipe.everyone()),
        "realism": dataset.recipe.imaging.levels,
        "shards_sha256": [shard.sha256 for shard in dataset.shards],
    }
    return source, held_out, conditions


def load_train_recipe(source: str | Path | Mapping[str, Any] | TrainRecipe) -> TrainRecipe:
    """A training recipe from a YAML file or a mapping.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown or a value of the wrong kind.
    """
    if isinstance(source, TrainRecipe):
        return source
    if isinstance(source, Mapping):
        return parse(TrainRecipe, source, "training recipe")
    path = Path(source)
    recipe = parse(TrainRecipe, read_yaml(path), str(path))
    data = None if recipe.data is None else str((path.parent / recipe.data).resolve())
    stream = recipe.stream
    if stream is not None and isinstance(stream.recipe, str):
        stream = stream.model_copy(update={"recipe": str((path.parent / stream.recipe).resolve())})
    training = recipe.training
    if training.initial is not None:
        training = training.model_copy(update={"initial": str((path.parent / training.initial).resolve())})
    translator = recipe.translator
    if translator is not None:
        translator = str((path.parent / translator).resolve())
    return recipe.model_copy(update={"data": data, "stream": stream, "training": training, "translator": translator})


def load_augment(source: str | Path | Mapping[str, Any]) -> AugmentConfig:
    """Domain randomisation from a training recipe's file, or from its settings.

    Raises:
        InputError: the file is unusable, a key is unknown or a value of the wrong kind.
    """
    if isinstance(source, Mapping):
        return parse(AugmentConfig, source, "augment")
    return load_train_recipe(source).training.augment


def simulated_source(
    data: str | Path, structures: tuple[str, ...] | None = None, landmarks: tuple[str, ...] | None = None
) -> PoolSource:
    """The training people of a data set, in memory, under fresh physics when the set keeps its marches.

    Args:
        data: folder of a finished data set, or the training recipe that names it, whose `redraw` is taken then.
        structures: names of the masks, in channel order; all by default.
        landmarks: names of the landmarks; all by default.

    Raises:
        InputError: there is no finished set, nobody in split `train`, or a name does not occur.
    """
    recipe = load_train_recipe(data) if Path(data).is_file() else TrainRecipe(data=str(data))
    if recipe.data is None:
        raise InputError(f"{data}: a training recipe with 'data' is needed here, not with 'stream'")
    dataset = Dataset.open(recipe.data)
    redraw = recipe.redraw or (Redraw() if dataset.recipe.keep_area_density else None)
    source = load_pool(dataset, "train", redraw, structures, landmarks)
    if source is None:
        raise InputError(f"{recipe.data}: nobody is in split 'train', so there is nothing to learn from")
    return source
