"""The README's Python runs as it stands, and its links lead somewhere."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from synthray.dataset import Recipe
from synthray.train import TrainRecipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_readme_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "shot.png").is_file()


def test_tutorial_recipes_are_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "own-ct.md").read_text(encoding="utf-8"), re.DOTALL)
    data, training = (yaml.safe_load(textwrap.dedent(block)) for block in blocks)
    assert Recipe.model_validate(data).keep_area_density
    assert TrainRecipe.model_validate(training).training.size == 128


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
