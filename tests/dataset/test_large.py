"""Sets of a hundred thousand images: what has to be quick is quick by its nature, not by a stopwatch."""

from synthray.dataset import generate
from synthray.dataset import job as room
from synthray.dataset.layout import shard_name
from synthray.dataset.plan import plan, shard_count
from synthray.dataset.recipe import Recipe, load_recipe
from synthray.dataset.shards import encode_json

RECIPE = {"images": 100_000, "images_per_shard": 100, "people": [{"body": 1, "count": 500, "region": "chest"}]}


def test_resuming_a_finished_set_reads_its_manifest_only(tmp_path, monkeypatch):
    recipe = load_recipe(RECIPE)
    shards = []
    for number in range(shard_count(recipe)):
        (tmp_path / shard_name(number)).write_bytes(b"x" * 10)
        shards.append({"file": shard_name(number), "samples": 100, "bytes": 10, "sha256": "0" * 64})
    record = {"format": room.FORMAT, "recipe": recipe.model_dump(mode="json"), "inputs": {}}
    (tmp_path / "recipe.json").write_bytes(encode_json(record))
    manifest = {"format": room.FORMAT, "name": recipe.name, "images": 100_000, "shards": shards}
    (tmp_path / "manifest.json").write_bytes(encode_json(manifest))

    def refuse(*_):
        raise AssertionError("a shard was read")

    monkeypatch.setattr(room, "_examine", refuse)
    result = generate(recipe, tmp_path)
    assert (result.images, result.made) == (100_000, 0)


def test_planning_an_image_does_not_count_people_out(monkeypatch):
    recipe = load_recipe({**RECIPE, "people": [{"body": 1, "count": 100_000}]})

    def refuse(_):
        raise AssertionError("everyone was counted out for one image")

    monkeypatch.setattr(Recipe, "everyone", refuse)
    assert plan(recipe, 99_999).person == 999
