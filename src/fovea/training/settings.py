"""What a person may ask of a training: typed, checked once, written into the run, compared when it resumes."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.errors import InputError


class TrainSettings(BaseModel):
    """The arguments of `train` that change its result. Another value of any of them is another run.

    What names an entry of a registry is looked up where it is used (`selection.choose`), so that a plug-in's name is as good as ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    task: str = "auto"
    strategy: str = "auto"
    backbone: str = "auto"
    weights: str = "auto"
    head: str = "linear"
    image_size: int | None = Field(default=None, ge=16, le=2048)
    augment: str = "auto"
    epochs: int | None = Field(default=None, ge=1, le=100_000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    lr: float = Field(default=1e-3, gt=0, lt=100, allow_inf_nan=False)
    patience: int = Field(default=8, ge=1, le=100_000)
    engine: str = "onnxruntime"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    split_by: str | None = None
    keep_leaks: bool = False
    seed: int = Field(default=0, ge=0, lt=2**32)


def checked(**values: Any) -> TrainSettings:
    """Settings from plain values.

    Raises:
        InputError: The first value that cannot be, with the option's name and what it may be.
    """
    try:
        return TrainSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        option = f"--{name.replace('_', '-')}"
        raise InputError(
            f"{option} cannot be {first.get('input')!r}",
            got=repr(first.get("input")),
            expected=first["msg"],
            fix=f"give {option} another value, or leave it out",
        ) from error
