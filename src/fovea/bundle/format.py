"""`bundle.json`: what a bundle says of itself. The contract with every reader; its JSON Schema stands beside this file.

Fields may be added with a default; none may be moved, renamed or given another meaning under the same `format`.
"""

import json
from importlib.resources import files
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fovea.transforms.preprocessing import Preprocessing

BUNDLE_FORMAT = 1
SCHEMA_FILE = "bundle.schema.json"


class Output(BaseModel):
    """One output of the model. In `shape` the letters are those of `fovea.types`.

    Maps of a network that does not pad say how many pixels of the picture's side lie under no cell, before the first and behind the last.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    shape: list[str | int]
    meaning: str
    margins_px: tuple[int, int] = Field(default=(0, 0), exclude_if=lambda ends: not any(ends))


class Calibration(BaseModel):
    """What was done so that probabilities mean what they say. It is already inside the model.

    The probabilities are the softmax of logits / temperature * scale + shift, where `scale` and `shift` are one number a class, or None
    (1 and 0) where the temperature alone is used.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    temperature: float = Field(default=1.0, gt=0)
    method: Literal["temperature", "vector"] = "temperature"
    scale: list[float] | None = None
    shift: list[float] | None = None


class TrainingData(BaseModel):
    """What it learned from; both are None for weights that are shipped as they came."""

    model_config = ConfigDict(frozen=True, extra="allow")

    hash: str | None = None
    num_files: int | None = None


class BundleInfo(BaseModel):
    """The content of `bundle.json`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    format: Literal[1] = 1
    task: str
    modality: Literal["image"] = "image"
    class_names: list[str]
    preprocessing: Preprocessing
    outputs: dict[str, Output]
    calibration: Calibration = Calibration()
    conformal: dict[str, Any] | None = None
    settled: dict[str, Any] = Field(default_factory=dict)  # what the task decided on validation: thresholds, widths of intervals
    refusal: dict[str, Any] | None = None
    averaging: dict[str, Any] | None = None  # what the model averages inside: how, tta, passes
    backbone: str
    strategy: str
    training_data: TrainingData = TrainingData()
    metrics: dict[str, Any] = Field(default_factory=dict)
    licences: list[str] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    opset: int

    @model_validator(mode="after")
    def _cells_lie_in_the_picture(self) -> Self:
        for name, output in self.outputs.items():
            if min(output.margins_px) < 0 or sum(output.margins_px) >= self.preprocessing.size_px:
                raise ValueError(f"outputs.{name}.margins_px leaves nothing of the picture")
        return self

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, mode="json")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `bundle.json` as it is frozen beside this file."""
    schema: dict[str, Any] = json.loads(files("fovea.bundle").joinpath(SCHEMA_FILE).read_text())
    return schema
