"""`bundle.json`: what a bundle says of itself. The contract with every reader; its JSON Schema stands beside this file.

Fields may be added with a default; none may be moved, renamed or given another meaning under the same `format`.
"""

import json
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fovea.transforms.preprocessing import Preprocessing

BUNDLE_FORMAT = 1
SCHEMA_FILE = "bundle.schema.json"


class Output(BaseModel):
    """One output of the model. In `shape` the letters are those of `fovea.types`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    shape: list[str | int]
    meaning: str


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

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, mode="json")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `bundle.json` as it is frozen beside this file."""
    schema: dict[str, Any] = json.loads(files("fovea.bundle").joinpath(SCHEMA_FILE).read_text())
    return schema
