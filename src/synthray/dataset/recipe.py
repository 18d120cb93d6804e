"""Recipes: what a data set is made of. YAML, checked by pydantic; unknown keys are refused."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from synthray.dataset.disease_recipe import Disease
from synthray.dataset.draws import Number, Strict, fixed
from synthray.dataset.imaging_recipe import Imaging
from synthray.dataset.tools_recipe import ToolEntry
from synthray.errors import InputError
from synthray.files import read_bytes
from synthray.geometry import PRESETS, ViewSampler, named_view
from synthray.geometry import CArm as Device

Model = TypeVar("Model", bound=BaseModel)

_MOST_YAML_BYTES = 4_000_000
_DEEPEST_YAML, _MOST_TOKENS = 32, 500_000
_MOST_PEOPLE = 1_000_000
_MOST_NAME_BYTES = 64
# The C parser is ten times as fast, and there in all of PyYAML's wheels.
_SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


class Morph(Strict):
    """Another person made from one: see `anatomy.morph`. What is zero is off."""

    seed: int = Field(0, ge=0, lt=2**62)
    amplitude_mm: float = Field(0.0, ge=0, le=60, description="standard deviation of a smooth deformation")
    smoothness_mm: float = Field(80.0, ge=10, le=300)
    rigid_bones: bool = True
    legs_deg: float = Field(0.0, ge=0, le=12, description="standard deviation of flexion, abduction and rotation")
    tissue: float = Field(0.0, ge=0, le=3, description="strength of other Hounsfield units and texture; 1 is usual")


class Person(Strict):
    """One person: either `ct` or `body`.

    With `count` several: bodies or morphs of neighbouring seeds, or one CT with several courses of a disease.
    """

    ct: str | None = None
    labels: str | None = None
    label_names: str | dict[int, str] | None = None
    landmarks: str | None = None
    body: int | None = Field(None, ge=0, description="seed of a built-in body")
    count: int = Field(1, ge=1, le=100_000, description="number of bodies from that seed on")
    region: str = "trunk"
    voxel_mm: float | None = Field(None, gt=0, le=10, description="resample the CT, or size of a body's voxels")
    find_lungs: bool = Field(False, description="add lung_left, lung_right and below_diaphragm when not labelled")
    remove_table: bool = True
    morph: Morph | None = None
    mirror: bool = Field(False, description="a mirror image of the person: left and right names are swapped")
    disease: list[Disease] = Field(default_factory=list, description="what the person has, after morph and mirror")
    split: Literal["train", "val"] = "train"
    name: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.ct is None) == (self.body is None):
            raise ValueError("give either 'ct' (a file or DICOM folder) or 'body' (a seed)")
        if self.ct is not None and self.morph is None and not self.disease and self.count != 1:
            raise ValueError("'count' goes with 'body', 'morph' or 'disease'")
        return self


class Views(Strict):
    """Where the C-arm looks from; angles in degrees, lengths in mm."""

    carm: str = "chest-pa"
    view: str = "pa"
    rows: int = Field(256, ge=8, le=8192)
    columns: int | None = Field(None, ge=8, le=8192)
    target: str = Field("center", description="'center', a landmark, or structures joined by +")
    lao_deg: Number = fixed(0)
    cran_deg: Number = fixed(0)
    roll_deg: Number = fixed(0)
    distance_mm: Number = fixed(0)
    offset_mm: tuple[Number, Number, Number] = (fixed(0), fixed(0), fixed(0))
    weight: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            named_view(self.view)
        except InputError as error:
            raise ValueError(str(error)) from None
        if self.carm not in PRESETS:
            raise ValueError(f"unknown C-arm '{self.carm}'; choose one of {', '.join(PRESETS)}")
        return self

    @property
    def sampler(self) -> ViewSampler:
        """The view sampler of these settings."""
        x, y, z = self.offset_mm
        return ViewSampler(
            carm=Device.preset(self.carm).resized(self.rows, self.columns),
            view=self.view,
            lao_deg=self.lao_deg.spread,
            cran_deg=self.cran_deg.spread,
            roll_deg=self.roll_deg.spread,
            distance_mm=self.distance_mm.spread,
            offset_mm=(x.spread, y.spread, z.spread),
        )


class Structure2D(Strict):
    """A structure of the picture, made from 3-D structures: people outline X-rays by other rules than CTs.

    A pixel belongs to it when the ray's path through one of the structures `of` exceeds `path_above_mm`, and its path
    through each of the structures `minus` does not exceed `minus_above_mm`. Borders towards the body's middle can be
    stricter: with `medial_path_above_mm`, pixels between a row's longest path and the middle must exceed that length,
    or, where that is less, the share `medial_row_fraction` of the row's longest path. (Lungs overlap the spine and
    the mediastinum before and behind, by a few centimetres of path; a radiologist's lung field ends where they are in
    full view.) With `medial_line` that border is the straight line which follows it best, as radiologists draw it past
    great vessels and the heart.
    Structures that a person doesn't have count as empty, except that one of `of` must be there.
    """

    of: list[str] = Field(min_length=1)
    minus: list[str] = Field(default_factory=list)
    path_above_mm: float = Field(0.0, ge=0)
    minus_above_mm: float = Field(0.0, ge=0)
    medial_path_above_mm: float = Field(0.0, ge=0)
    medial_row_fraction: float = Field(1.0, gt=0, le=1)
    medial_line: bool = False


class Recipe(Strict):
    """A whole data set; a sample is a pure function of (recipe, seed, index)."""

    name: str = "dataset"
    seed: int = Field(0, ge=0, lt=2**63)
    images: int = Field(ge=1, le=100_000_000)
    images_per_shard: int = Field(32, ge=1, le=100_000, description="a shard shows one person")
    people: list[Person] = Field(min_length=1)
    views: list[Views] = Field(default_factory=lambda: [Views()], min_length=1)
    tools: list[ToolEntry] = Field(default_factory=list, description="instruments and implants in the picture")
    tool_poses_per_view: int = Field(1, ge=1, description="images in a row that share a view, each with other tools")
    imaging: Imaging = Imaging()
    structures: dict[str, Structure2D] = Field(default_factory=dict)
    landmarks: list[str] | Literal["all"] = "all"
    keep_paths: list[str] = Field(
        default_factory=list, description="entries of 'structures' whose path lengths are stored too"
    )
    keep_area_density: bool = Field(False, description="also store the march, so that training can redraw the physics")

    @model_validator(mode="after")
    def _plain_names(self) -> Self:
        for name in self.structures:
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"structure name '{name}' may hold letters, digits, _ and - only")
            if len(name.encode(errors="replace")) > _MOST_NAME_BYTES:
                raise ValueError(f"structure name '{name[:20]}…' is longer than {_MOST_NAME_BYTES} bytes")
        for name in self.keep_paths:
            if name not in self.structures:
                raise ValueError(f"keep_paths: '{name}' is not one of the structures {', '.join(self.structures)}")
        for tool in self.tools:
            if tool.title in self.structures:
                raise ValueError(f"structures: a tool is called '{tool.title}'; call the structure otherwise")
        if self.tool_poses_per_view > 1 and not self.tools:
            raise ValueError("'tool_poses_per_view' goes with 'tools'")
        if self.person_count > _MOST_PEOPLE:
            raise ValueError(f"people: {self.person_count} people are more than {_MOST_PEOPLE}")
        return self

    @property
    def person_count(self) -> int:
        """Number of people, bodies and morphs counted out."""
        return sum(person.count for person in self.people)

    @property
    def optional_structures(self) -> frozenset[str]:
        """Names that an image may lack, by its lot: labels of diseases, and tools."""
        ill = {name for person in self.people for entry in person.disease for name in entry.labels}
        return frozenset(ill | {tool.title for tool in self.tools})

    def everyone(self) -> list[Person]:
        """All people, bodies and morphs counted out, in order."""
        return [_numbered(person, number) for person in self.people for number in range(person.count)]


def _numbered(person: Person, number: int) -> Person:
    updates: dict[str, Any] = {"count": 1}
    if person.body is not None:
        updates["body"] = person.body + number
    if person.morph is not None:
        updates["morph"] = person.morph.model_copy(update={"seed": person.morph.seed + number})
    return person.model_copy(update=updates)


def load_recipe(source: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """A recipe from a YAML file or a mapping; relative paths in a file are looked up beside it, then in SYNTHRAY_DATA.

    Raises:
        InputError: the file is missing or not YAML, a key is unknown or a value of the wrong kind.
    """
    if isinstance(source, Recipe):
        return source
    if isinstance(source, Mapping):
        return parse(Recipe, source, "recipe")
    path = Path(source)
    recipe = parse(Recipe, read_yaml(path), str(path))
    people = [
        _with_paths(person, ("ct", "labels", "label_names", "landmarks"), path.parent) for person in recipe.people
    ]
    tools = [_with_paths(tool, ("file",), path.parent) for tool in recipe.tools]
    return recipe.model_copy(update={"people": people, "tools": tools})


def read_yaml(path: Path) -> Mapping[str, Any]:
    """A YAML file that holds one mapping.

    Raises:
        InputError: it can't be read, is over 4 MB, uses aliases, names a key twice, is nested deeper than any recipe,
            or holds something else.
    """
    try:
        text = read_bytes(path, _MOST_YAML_BYTES).decode("utf-8")
        _check_tokens(text, path)
        data = yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where is not None else ""
        raise InputError(f"{path}: not valid YAML{line}: {getattr(error, 'problem', 'malformed')}") from None
    except (ValueError, OverflowError) as error:  # not UTF-8, a date that isn't one, a number too long to be meant
        raise InputError(f"{path}: can't be read ({error})") from None
    if not isinstance(data, Mapping):
        raise InputError(f"{path}: a recipe is a mapping of keys to values")
    return data


class _Loader(_SAFE_LOADER):
    """PyYAML's safe loader, which would let the last of two equal keys win in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None) if len(names) < 1000 else None
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _check_tokens(text: str, path: Path) -> None:
    """Refuse aliases, which can make much of little, and depths and lengths that exhaust a parser's stack."""
    depth = 0
    for count, token in enumerate(yaml.scan(text, Loader=_SAFE_LOADER)):
        if isinstance(token, yaml.AliasToken):
            raise InputError(f"{path}: YAML aliases (*name) are not supported in recipes; write the value out")
        if isinstance(token, _OPENING):
            depth += 1
        elif isinstance(token, _CLOSING):
            depth -= 1
        if depth > _DEEPEST_YAML or count > _MOST_TOKENS:
            raise InputError(f"{path}: nested over {_DEEPEST_YAML} deep, or over {_MOST_TOKENS} parts; no recipe is")


def parse(model: type[Model], data: Mapping[str, Any], where: str) -> Model:
    """A checked model; the first problem is told in one line with the key's path.

    Raises:
        InputError: a key is unknown, missing, or its value is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {_first_problem(model, error)}") from None


def _first_problem(model: type[BaseModel], error: ValidationError) -> str:
    problems = error.errors()
    # A misspelt key is told before the missing one that it was meant to be.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    steps = [step for step in problem["loc"] if not (isinstance(step, str) and "[" in step)]
    key = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(steps[-1]), _all_keys(model), n=1, cutoff=0.6)
        return f"unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
    if problem["type"] == "missing":
        return f"missing key '{key}'"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{key}: {message}{shown}" if key else message


def _all_keys(model: type[BaseModel]) -> list[str]:
    """Keys of a model and of the models inside it."""
    keys: list[str] = []
    waiting: list[Any] = [model]
    seen: set[Any] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, type) and issubclass(item, BaseModel) and item not in seen:
            seen.add(item)
            keys += item.model_fields
            waiting += [field.annotation for field in item.model_fields.values()]
        else:
            waiting += getattr(item, "__args__", ())
    return keys


def _with_paths(entry: Model, keys: tuple[str, ...], folder: Path) -> Model:
    """A copy of an entry in which the files that some keys name are found."""
    given = {key: getattr(entry, key) for key in keys}
    return entry.model_copy(update={k: str(_found(v, folder)) for k, v in given.items() if isinstance(v, str)})


def _found(value: str, folder: Path) -> Path:
    roots = [folder, *([Path(os.environ["SYNTHRAY_DATA"])] if os.environ.get("SYNTHRAY_DATA") else [])]
    for root in roots:
        if (root / value).exists():
            return (root / value).resolve()
    raise InputError(f"{value}: not found in {' or '.join(str(root.resolve()) for root in roots)}")
