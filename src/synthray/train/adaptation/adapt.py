"""`adapt`: carry a trained model over to other images without labels of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from synthray.errors import InputError
from synthray.models import Model, ModelSpec, load_model, save_model
from synthray.models.checkpoint import DESCRIPTION, first_problem
from synthray.train.adaptation.adda import Adda, start_adda
from synthray.train.adaptation.config import (
    AdaBNConfig,
    AdaptConfig,
    AddaConfig,
    MeanTeacherConfig,
    SelfTrainingConfig,
)
from synthray.train.adaptation.mean_teacher import MeanTeacher, start_mean_teacher
from synthray.train.adaptation.self_training import self_train, sharper
from synthray.train.adaptation.session import AdaptResult, Session, check_output
from synthray.train.adaptation.statistics import with_statistics_of
from synthray.train.batches import BatchSource
from synthray.train.config import TrainConfig
from synthray.train.loop import Progress, check_empty
from synthray.train.unlabelled import Unlabelled, read_unlabelled

_CONFIG: TypeAdapter[AdaptConfig] = TypeAdapter(AdaptConfig)


def adapt(
    run: str | Path,
    images: Sequence[str | Path] | Unlabelled,
    out: str | Path,
    config: AdaptConfig | Mapping[str, Any],
    *,
    source: BatchSource | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[Progress], None] | None = None,
) -> AdaptResult:
    """Adapt a trained model to the look of some images and leave the new model in `out`.

    No label of these images is read: `images` are pictures and nothing else. Run it again to go on after an
    interruption; the weights depend on (run, images, source, config, seed) alone.

    Args:
        run: folder of a trained model.
        images: unlabelled image files, folders of them, or `read_unlabelled`'s result.
        out: made when absent; must be empty or hold an adaptation with the same settings.
        config: `AdaBNConfig`, `MeanTeacherConfig`, `AddaConfig` or `SelfTrainingConfig`, or their settings with
            `method` among them.
        source: labelled simulated images, which all but `adabn` need (`adda` doesn't use their labels).
        seed: of batches, augmentation and the discriminator's weights.
        device: torch device.
        on_progress: called after every step.

    Raises:
        InputError: a setting is wrong, the run, an image or the folder is unusable, or `source` is missing or has other
            structures or landmarks.
        SynthrayError: a loss became NaN or infinite.
    """
    settings = check_config(config)
    folder = Path(out)
    check_output(Path(run), folder)
    model = load_model(run, device)
    learnt = isinstance(settings, SelfTrainingConfig)
    preprocessing = sharper(model.spec.preprocessing) if learnt else model.spec.preprocessing
    held = images if isinstance(images, Unlabelled) else read_unlabelled(images, preprocessing)
    if source is not None:
        _check_source(model.spec, source)
    facts = {
        **settings.model_dump(mode="json"),
        "seed": seed,
        "images": len(held.images),
        "from_sha256": model.spec.weights_sha256,
        "source": source is not None,
    }
    if isinstance(settings, AdaBNConfig):
        _check_free(folder, facts)
        network = with_statistics_of(model.network, held.images, settings.batch, settings.share)
        result = AdaptResult(folder, 1, 0.0)
    elif isinstance(settings, SelfTrainingConfig):
        _check_same(folder, facts)
        training, labelled = training_of(model.spec), _needed(source, settings.method)
        result = self_train(
            model, Path(run), held, labelled, training, settings, folder, seed=seed, on_progress=on_progress
        )
        network = load_model(folder, device).network
    else:
        learner = _learner(model, held, source, settings, seed)
        session = Session(
            folder, learner.modules, learner.optimisers, facts, settings.steps, settings.checkpoint_every, seed
        )
        result, network = session.run(learner.step, on_progress), learner.adapted
    recipe = {**model.spec.recipe, "adaptation": {**facts, "reads_labels": False}}
    save_model(folder, network, model.spec.model_copy(update={"recipe": recipe}))
    return result


def check_config(config: AdaptConfig | Mapping[str, Any]) -> AdaptConfig:
    """Settings of a method, from themselves or from a mapping that names it.

    Raises:
        InputError: the method or a key is unknown, or a value of the wrong kind.
    """
    if not isinstance(config, Mapping):
        return config
    try:
        return _CONFIG.validate_python(dict(config))
    except ValidationError as error:
        raise InputError(f"adaptation settings: {first_problem(error)}") from error


def training_of(spec: ModelSpec) -> TrainConfig:
    """The settings that a model was trained with, as its `model.json` holds them, or what of them is known there."""
    try:
        return TrainConfig.model_validate(spec.recipe.get("train"))
    except ValidationError:
        known = spec.preprocessing
        return TrainConfig(
            size=known.size,
            fit=known.fit,
            network=spec.network,
            heatmap_sigma_px=spec.heatmap_sigma_px,
            landmark_loss="soft_argmax" if spec.network.heatmap == "softmax" else "ncc",
        )


def _learner(
    model: Model, images: Unlabelled, source: BatchSource | None, settings: MeanTeacherConfig | AddaConfig, seed: int
) -> MeanTeacher | Adda:
    labelled = _needed(source, settings.method)
    if isinstance(settings, MeanTeacherConfig):
        return start_mean_teacher(model, images, labelled, settings, training_of(model.spec), seed)
    return start_adda(model, images, labelled, settings, seed)


def _needed(source: BatchSource | None, method: str) -> BatchSource:
    if source is None:
        raise InputError(f"{method} needs simulated images too: give the data set that the run was trained on")
    return source


def _check_source(spec: ModelSpec, source: BatchSource) -> None:
    for what in ("structures", "landmarks"):
        if tuple(getattr(source, what)) != tuple(getattr(spec, what)):
            raise InputError(f"the simulated images have other {what} than the run to adapt")


def _check_same(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a folder with another finished adaptation; unfinished ones are checked when they are gone on with."""
    held = load_model(folder).spec.recipe.get("adaptation") if (folder / DESCRIPTION).exists() else None
    if isinstance(held, dict) and any(held.get(name) != value for name, value in facts.items()):
        raise InputError(f"{folder}: holds an adaptation with other settings or images; choose another folder")


def _check_free(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a folder with anything but the same adaptation."""
    if (folder / DESCRIPTION).exists():
        held = load_model(folder).spec.recipe.get("adaptation")
        if isinstance(held, dict) and all(held.get(name) == value for name, value in facts.items()):
            return
    check_empty(folder)
