"""Each way of adapting, on discs in a look that the network has not seen."""

import json

import numpy as np
import pytest
import torch

from synthray.errors import InputError, SynthrayError
from synthray.models import (
    NetworkConfig,
    Preprocessing,
    TransUNetConfig,
    UNet,
    fit_images,
    load_model,
    load_translator,
    predict,
)
from synthray.models.translation import Generator, PatchDiscriminator, TranslatorConfig
from synthray.train import (
    ArraySource,
    Batch,
    TrainConfig,
    TranslatedSource,
    Unlabelled,
    adapt,
    fit,
    train_translator,
    validate,
)
from synthray.train.adaptation.adda import feature_discriminator, relativistic_loss
from synthray.train.adaptation.cyclegan import Pool
from synthray.train.adaptation.mean_teacher import known_mask_loss
from synthray.train.adaptation.self_training import MixedSource, labelled_by
from synthray.train.adaptation.statistics import batch_norms, kept_statistics, with_statistics_of
from synthray.train.losses import mask_loss

CONFIG = TrainConfig.model_validate(
    {
        "size": 64,
        "batch": 16,
        "steps": 100,
        "network": {"width": 8},
        "augment": {"preset": "none"},
        "validate_every": 1000,
        "threads": 1,
    }
)
SMALL_GAN = {"size": 32, "steps": 4, "translator": {"width": 4, "blocks": 1}, "pool": 2, "checkpoint_every": 3}


class StopError(Exception):
    """Stands for an interruption."""


def stop_at(step):
    def stop(progress):
        if progress.step == step:
            raise StopError

    return stop


def with_look(source, look):
    d = source.data
    rows, columns = np.mgrid[: d.images.shape[1], : d.images.shape[2]] / d.images.shape[1]
    images = {"bright": -np.exp(-2 * d.images), "striped": 0.6 * d.images + 0.2 * np.sin(9 * columns + 3 * rows)}[look]
    data = Batch(images.astype(np.float32), d.masks, d.landmarks_px, d.visible)
    return ArraySource(data, source.structures, source.landmarks)


def unlabelled(source, size=64):
    return Unlabelled(fit_images(torch.from_numpy(source.data.images), Preprocessing(size=size))[0], ())


def dice(run, source):
    return validate(load_model(run).network, source, CONFIG, 0).mean_dice


def weights(run):
    return load_model(run).network.state_dict()


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def run(discs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaptation") / "run"
    fit(discs(160, seed=0), None, CONFIG, folder)
    return folder


@pytest.mark.slow
def test_statistics_of_the_images_repair_a_changed_look(run, discs, tmp_path):
    images, test = with_look(discs(64, seed=5), "bright"), with_look(discs(48, seed=99), "bright")
    adapt(run, unlabelled(images), tmp_path / "adapted", {"method": "adabn"})
    assert dice(run, test) < 0.7
    assert dice(tmp_path / "adapted", test) > 0.9


@pytest.mark.slow
def test_a_mean_teacher_learns_the_look_of_unlabelled_images(run, discs, tmp_path):
    images, test = with_look(discs(96, seed=5), "striped"), with_look(discs(48, seed=99), "striped")
    adapt(run, unlabelled(images), tmp_path / "adabn", {"method": "adabn"})
    settings = {
        "method": "mean_teacher",
        "steps": 60,
        "lr": 1e-3,
        "augment": {"preset": "regular", "curve": 0.5, "bias_field": 0.5},
    }
    adapt(run, unlabelled(images), tmp_path / "teacher", settings, source=discs(160, seed=0))
    before, statistics, after = (dice(folder, test) for folder in (run, tmp_path / "adabn", tmp_path / "teacher"))
    assert after > before + 0.1
    assert after > statistics + 0.07


@pytest.mark.slow
def test_a_student_passes_the_model_that_gave_it_its_labels(discs, tmp_path):
    augment = {"preset": "regular", "curve": 0.5, "bias_field": 0.5}
    fit(
        discs(160, seed=0),
        None,
        TrainConfig.model_validate({**CONFIG.model_dump(), "augment": augment}),
        tmp_path / "run",
    )
    images, test = with_look(discs(96, seed=5), "bright"), with_look(discs(48, seed=99), "bright")
    settings = {"method": "self_training", "steps": 60, "lr": 3e-3}
    adapt(tmp_path / "run", unlabelled(images, 80), tmp_path / "student", settings, source=discs(160, seed=0))
    assert dice(tmp_path / "student", test) > dice(tmp_path / "run", test) + 0.05


def test_batches_hold_both_kinds_and_the_least_sure_images_are_left_out(run, discs):
    model = load_model(run)
    images = unlabelled(discs(20, seed=5))
    said = predict(model, list(images.images[:, 0].numpy()))
    doubt = [((p.maps > 0.1) & (p.maps < 0.9)).sum() / (p.maps > 0.5).sum() for p in said]
    kept = np.sort(np.argsort(doubt)[:16])
    real = labelled_by(model, images, left_out=0.2)
    assert np.array_equal(real.data.images, images.images[kept, 0].numpy())
    assert np.array_equal(real.data.masks[3, 0], said[kept[3]].masks[model.structures[0]])
    simulated = discs(30, seed=0)
    source = MixedSource(simulated, real, 0.25)
    batch = source.batch(3, 8, 1)
    assert batch.images.shape == (8, 64, 64)
    assert np.array_equal(batch.images[6:], real.batch(3, 2, 1).images)
    assert np.array_equal(batch.images, source.batch(3, 8, 1).images)
    smaller = MixedSource(simulated, labelled_by(model, unlabelled(discs(9, seed=5), 48), 0.0), 0.5).batch(0, 6, 0)
    assert smaller.images.shape == (6, 48, 48)
    assert smaller.masks.shape[1:] == (len(simulated.structures), 48, 48)


QUICK = {
    "self_training": {"method": "self_training", "steps": 5, "batch": 4, "checkpoint_every": 2, "left_out": 0.0},
    "mean_teacher": {"method": "mean_teacher", "steps": 5, "batch": 4, "checkpoint_every": 2},
    "adda": {
        "method": "adda",
        "steps": 5,
        "batch": 4,
        "checkpoint_every": 2,
        "discriminator_steps": 2,
        "network_steps": 1,
    },
}


@pytest.fixture(scope="module")
def quick_run(discs, tmp_path_factory):
    """A miniature TransUNet: dropout, GroupNorm and BatchNorm in one network."""
    sizes = TransUNetConfig(
        width=8, units=(1, 1, 1), hidden=24, mlp=40, heads=3, layers=1, decoder=(8, 8, 8, 8), grid=4
    )
    changes = {"steps": 1, "batch": 4, "network": NetworkConfig(kind="transunet", transunet=sizes)}
    folder = tmp_path_factory.mktemp("quick") / "run"
    fit(discs(8, seed=0), None, CONFIG.model_copy(update=changes), folder)
    return folder


@pytest.mark.parametrize("method", QUICK)
def test_an_interrupted_adaptation_goes_on_as_if_it_had_not_stopped(quick_run, discs, tmp_path, method):
    images, source = unlabelled(discs(6, seed=5)), discs(8, seed=0)
    whole = adapt(quick_run, images, tmp_path / "whole", QUICK[method], source=source)
    with pytest.raises(StopError):
        adapt(quick_run, images, tmp_path / "parts", QUICK[method], source=source, on_progress=stop_at(3))
    torch.rand(3)
    parts = adapt(quick_run, images, tmp_path / "parts", QUICK[method], source=source)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert [row["step"] for row in whole.history] == [row["step"] for row in parts.history] == [2, 4, 5]
    described = json.loads((tmp_path / "parts" / "model.json").read_text())
    assert described["recipe"]["adaptation"]["method"] == method
    assert described["recipe"]["adaptation"]["reads_labels"] is False
    with pytest.raises(InputError, match="other settings"):
        adapt(quick_run, images, tmp_path / "parts", {**QUICK[method], "batch": 3}, source=source)


def test_adda_leaves_the_head_and_the_source_network_alone(quick_run, discs, tmp_path):
    before = weights(quick_run)
    adapt(quick_run, unlabelled(discs(6, seed=5)), tmp_path / "out", QUICK["adda"], source=discs(8, seed=0))
    after = weights(tmp_path / "out")
    assert same({n: v for n, v in before.items() if n.startswith("head")}, after)
    assert not torch.equal(before["bridge.0.weight"], after["bridge.0.weight"])


def test_labels_of_the_source_do_not_matter_to_adda(quick_run, discs, tmp_path):
    images, source = unlabelled(discs(6, seed=5)), discs(8, seed=0)
    empty = Batch(source.data.images, source.data.masks * 0, source.data.landmarks_px * 0, source.data.visible)
    adapt(quick_run, images, tmp_path / "a", QUICK["adda"], source=source)
    adapt(
        quick_run, images, tmp_path / "b", QUICK["adda"], source=ArraySource(empty, source.structures, source.landmarks)
    )
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_files_are_read_and_the_same_adaptation_may_be_repeated(quick_run, discs, tmp_path):
    (tmp_path / "x").mkdir()
    for i, image in enumerate(discs(3, seed=0).data.images):
        np.save(tmp_path / "x" / f"{i}.npy", image)
    for _ in range(2):
        adapt(quick_run, [tmp_path / "x"], tmp_path / "out", {"method": "adabn", "share": 0.5})
    with pytest.raises(InputError, match="not an empty folder"):
        adapt(quick_run, [tmp_path / "x"], tmp_path / "out", {"method": "adabn"})


def test_what_cannot_be_adapted_is_one_line(quick_run, discs, tmp_path):
    images, source = unlabelled(discs(4, seed=5)), discs(8, seed=0)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="mean_teacher needs simulated images"):
        adapt(quick_run, images, out, {"method": "mean_teacher"})
    with pytest.raises(InputError, match="a batch takes 8"):
        adapt(quick_run, images, out, {"method": "self_training"}, source=source)
    with pytest.raises(InputError, match="adaptation settings"):
        adapt(quick_run, images, out, {"method": "magic"})
    with pytest.raises(InputError, match="steps"):
        adapt(quick_run, images, out, {"method": "adda", "steps": 0}, source=source)
    with pytest.raises(InputError, match="other structures"):
        adapt(quick_run, images, out, QUICK["adda"], source=ArraySource(source.data, ("a", "b"), source.landmarks))
    with pytest.raises(InputError, match="is the run to adapt itself"):
        adapt(quick_run, images, quick_run, {"method": "adabn"})
    with pytest.raises(InputError, match="no such file"):
        adapt(quick_run, [tmp_path / "nowhere"], out, {"method": "adabn"})
    with pytest.raises(InputError, match="at least two"):
        adapt(quick_run, unlabelled(discs(1, seed=5)), out, {"method": "adabn"})
    with pytest.raises(SynthrayError, match="lower lr"):
        adapt(quick_run, images, out, {**QUICK["mean_teacher"], "source_weight": 1e39}, source=source)
    assert not out.exists()


# --- parts -------------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_images():
    network = UNet(NetworkConfig(width=4, levels=2), 1, 0)
    images = torch.randn(10, 1, 16, 16) * 3 + 1
    adapted = with_statistics_of(network, images, batch=5)
    first = network.stem[0](images)
    layer = batch_norms(adapted)[0]
    assert torch.allclose(layer.running_mean, first.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(layer.running_var, first.var(dim=(0, 2, 3)), rtol=0.1)
    assert layer.momentum == batch_norms(network)[0].momentum
    assert (batch_norms(network)[0].running_mean == 0).all()
    half = with_statistics_of(network, images, batch=5, share=0.5)
    assert torch.allclose(batch_norms(half)[0].running_mean, layer.running_mean / 2, atol=1e-6)


def test_kept_statistics_stay():
    network = UNet(NetworkConfig(width=4, levels=2), 1, 0).train()
    with kept_statistics(network):
        network(torch.randn(4, 1, 16, 16) + 5)
    assert (batch_norms(network)[0].running_mean == 0).all()
    network(torch.randn(4, 1, 16, 16) + 5)
    assert (batch_norms(network)[0].running_mean != 0).any()


def test_unknown_pixels_do_not_count():
    logits, masks = torch.randn(2, 2, 8, 8), torch.rand(2, 2, 8, 8) > 0.5
    known = torch.rand(2, 2, 8, 8) > 0.3
    other = torch.where(known, logits, torch.randn(2, 2, 8, 8) * 9)
    assert known_mask_loss(other, masks, known).item() == pytest.approx(known_mask_loss(logits, masks, known).item())
    everything = torch.ones_like(known)
    assert known_mask_loss(logits, masks, everything).item() == pytest.approx(mask_loss(logits, masks).item(), rel=1e-5)
    assert known_mask_loss(logits, masks, ~everything) == 0


def test_the_feature_discriminator_learns_to_tell_domains_apart():
    torch.manual_seed(0)
    judge = feature_discriminator(8)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in judge) == 4
    optimiser = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(60):
        loss = relativistic_loss(judge(torch.randn(4, 8, 12, 12) + 0.3), judge(torch.randn(4, 8, 12, 12)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.3
    assert relativistic_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * np.log(2), rel=1e-6)


# --- translation -------------------------------------------------------------------------------------------------


def test_translation_networks_have_the_papers_sizes():
    with torch.device("meta"):
        generator, judge = Generator(TranslatorConfig()), PatchDiscriminator(TranslatorConfig())
        # 11.378 and 2.765 million for three channels; one channel saves two and one of them at either end.
        assert sum(p.numel() for p in generator.parameters()) == 11_378_179 - 2 * (2 * 49 * 64) - 2
        assert sum(p.numel() for p in judge.parameters()) == 2_764_737 - 2 * 16 * 64
    judge = PatchDiscriminator(TranslatorConfig(width=4))
    image = torch.zeros(1, 1, 256, 256, requires_grad=True)
    judge.layers[0].requires_grad_(False)
    for layer in judge.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.ones_(layer.weight)
    plain = torch.nn.Sequential(*(layer for layer in judge.layers if isinstance(layer, torch.nn.Conv2d)))
    plain(image)[0, 0, 15, 15].backward()
    rows = torch.nonzero(image.grad[0, 0].sum(dim=1))
    assert rows.max() - rows.min() + 1 == 70


def test_the_pool_gives_old_images_half_of_the_time():
    pool, rng = Pool(torch.zeros(0, 1, 2, 2), 10), np.random.default_rng(0)
    seen = [pool.exchange(torch.full((1, 1, 2, 2), float(i)), rng)[0, 0, 0, 0].item() for i in range(400)]
    assert seen[:10] == list(range(10))
    assert 0.4 < np.mean([value != i for i, value in enumerate(seen[10:], start=10)]) < 0.6
    assert len(pool.images) == 10


def test_an_interrupted_translation_goes_on_and_serves_training(discs, tmp_path):
    source, real = discs(6, seed=0), unlabelled(with_look(discs(5, seed=1), "bright"), 32)
    train_translator(source, real, tmp_path / "whole", SMALL_GAN)
    with pytest.raises(StopError):
        train_translator(source, real, tmp_path / "parts", SMALL_GAN, on_progress=stop_at(3))
    train_translator(source, real, tmp_path / "parts", SMALL_GAN)
    whole, parts = (load_translator(tmp_path / name) for name in ("whole", "parts"))
    assert same(whole.generator.state_dict(), parts.generator.state_dict())
    translated = TranslatedSource(discs(6, seed=0, size=50), whole)
    batch = translated.batch(0, 3, 0)
    assert batch.images.shape[1:] == (50, 50)
    assert np.isfinite(batch.images).all()
    fit(translated, None, CONFIG.model_copy(update={"steps": 1}), tmp_path / "run")
    with pytest.raises(InputError, match="size is 32"):
        train_translator(source, unlabelled(discs(2, seed=1)), tmp_path / "c", SMALL_GAN)
    with pytest.raises(InputError, match="translation settings"):
        train_translator(source, real, tmp_path / "c", {"speed": 3})


@pytest.mark.slow
def test_a_translator_learns_a_look(discs, tmp_path):
    """Negatives with less contrast: after translation, bright discs are dark."""
    source, negatives = discs(60, seed=0, size=32), discs(60, seed=1, size=32)
    d = negatives.data
    real = ArraySource(Batch(-d.images, d.masks, d.landmarks_px, d.visible), negatives.structures, negatives.landmarks)
    settings = {**SMALL_GAN, "steps": 250, "batch": 4, "translator": {"width": 8, "blocks": 2}, "lr": 2e-3, "cycle": 2}
    train_translator(source, unlabelled(real, 32), tmp_path / "out", {**settings, "identity": 0, "pool": 20})
    images, masks = source.data.images[:20], source.data.masks[:20].any(axis=1).astype(bool)
    out = load_translator(tmp_path / "out")(torch.from_numpy(images)[:, None])[:, 0].numpy()
    assert out[masks].mean() < out[~masks].mean() - 0.3


@pytest.mark.parametrize("spoil", ["translator.json", "translator.safetensors"])
def test_damaged_translators_are_refused(discs, tmp_path, spoil):
    train_translator(discs(4, seed=0), unlabelled(discs(4, seed=1), 32), tmp_path / "t", {**SMALL_GAN, "steps": 1})
    file = tmp_path / "t" / spoil
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(InputError, match="translator"):
        load_translator(tmp_path / "t")
    file.unlink()
    with pytest.raises(InputError, match="no finished translator"):
        load_translator(tmp_path / "t")
