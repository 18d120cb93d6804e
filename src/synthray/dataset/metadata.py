"""The metadata of a sample and the manifest as models: what they must hold. Their JSON schemas lie in `schema/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthray.errors import InputError


class _Held(BaseModel):
    """A part of what is stored: types as JSON has them, finite numbers; fields of later versions are let through."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


Row3 = Annotated[list[float], Field(min_length=3, max_length=3)]
Row4 = Annotated[list[float], Field(min_length=4, max_length=4)]
Matrix3 = Annotated[list[Row3], Field(min_length=3, max_length=3)]
Matrix4 = Annotated[list[Row4], Field(min_length=4, max_length=4)]
Side = Annotated[int, Field(ge=1, le=8192)]


class RunLengths(_Held):
    """A mask in COCO's uncompressed form."""

    size: Annotated[list[Side], Field(min_length=2, max_length=2)] = Field(description="rows, columns")
    # Not checked one by one here: `rle.decode` does so for the price of turning them into an array.
    counts: Annotated[list[Any], Field(max_length=8192 * 8192)] = Field(
        description="pixels in turn 0 and 1, down the columns, zeros first",
        json_schema_extra={"items": {"type": "integer", "minimum": 0}},
    )


class CameraFields(_Held):
    """As `Camera.to_dict` gives it."""

    K: Matrix3
    camera_from_patient: Matrix4 = Field(description="rigid, patient mm (LPS) to camera mm")
    rows: Side
    columns: Side
    source_to_detector_mm: Annotated[float, Field(gt=0)] | None


class Scaled(_Held):
    """16-bit values: stored = (value + offset) * scale."""

    scale: float = Field(gt=1e-6, le=1e9)
    offset: float


class Density(_Held):
    """Stored area densities: g/cm² = stored / scale."""

    scale: float = Field(gt=1e-6, le=1e9)
    basis: Annotated[list[str], Field(min_length=2)] = Field(description="names of the files, in order")


class Paths(_Held):
    """Stored path lengths: mm = stored / scale."""

    scale: float = Field(gt=1e-6, le=1e9)
    of: list[str]


class Landmark(_Held):
    """A landmark in the picture."""

    px: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        description="column, row; null behind the source or absent in this person"
    )
    visible: bool


class PlacedTool(_Held):
    """A tool in the picture."""

    name: str
    entry: Annotated[int, Field(ge=0)] = Field(description="number in the recipe's tools")
    parameters: dict[str, Any]
    patient_from_tool: Matrix4


class SampleMetadata(_Held):
    """`KEY.json` of a sample."""

    index: Annotated[int, Field(ge=0)]
    patient: str
    person: Annotated[int, Field(ge=0)] = Field(description="number in the recipe, counted out")
    split: Literal["train", "val"]
    version: str = Field(description="of synthray")
    camera: CameraFields
    mirrored: bool
    realism: str
    noise_seed: Annotated[int, Field(ge=0)]
    settings: dict[str, float | str | None] = Field(description="tube and dose; null was found automatically")
    dose: dict[str, float | str | bool | None] | None = Field(
        None, description="what the exposure was, found by automatic control where settings are null"
    )
    image: Scaled = Field(description="of KEY.png: -log image = stored / scale - offset")
    area_density: Density | None
    paths: Paths
    landmarks: dict[str, Landmark]
    masks: dict[str, RunLengths]
    tools: list[PlacedTool] | None = None


class ShardEntry(_Held):
    """One shard of the manifest."""

    file: str = Field(pattern=r"^shard-\d{6,}\.tar$")
    samples: Annotated[int, Field(ge=1)]
    bytes: Annotated[int, Field(ge=1)]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(_Held):
    """`manifest.json` of a set."""

    format: Literal["synthray-dataset-1"]
    name: str
    images: Annotated[int, Field(ge=1)]
    shards: list[ShardEntry]


SCHEMAS: Mapping[str, type[BaseModel]] = {"sample": SampleMetadata, "manifest": Manifest}


def schema(name: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of `sample` or `manifest`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name].model_json_schema()}


def check_metadata(truth: Any) -> SampleMetadata:
    """A sample's metadata, checked field by field, and its parts against each other.

    Raises:
        InputError: a field is missing or makes no sense; the first one is named.
    """
    try:
        held = SampleMetadata.model_validate(truth)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in problem["loc"])
        raise InputError(f"metadata '{where}': {problem['msg']}") from None
    size = [held.camera.rows, held.camera.columns]
    for name, mask in held.masks.items():
        if mask.size != size:
            raise InputError(f"metadata 'masks.{name}': of size {mask.size}, the picture has {size}")
    return held
