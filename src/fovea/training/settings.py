"""What a person may ask of a training: typed, checked once, written into the run, compared when it resumes."""

from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.errors import InputError, expected_of
from fovea.models.freezing import BatchNormMode
from fovea.training.method import Balance, Method, Precision
from fovea.training.optimizers import OPTIMIZERS
from fovea.training.schedules import Moment, lr_factor

Settings = TypeVar("Settings", bound=BaseModel)
OF_METHOD = (
    *("epochs", "lr", "optimizer", "schedule", "warmup_epochs", "weight_decay", "l1", "l2", "label_smoothing", "clip_norm", "ema_decay"),
    *("balance", "precision", "auxiliary_weight"),
)
# What counts only where something learns epoch by epoch; `Method` holds most of it.
OF_EPOCHS = (*OF_METHOD, "schedule_options", "monitor", "min_delta", "patience", "dropout", "batch_size", "compile")


class TrainSettings(BaseModel):
    """The arguments of `train` that change its result. Another value of any of them is another run.

    What names an entry of a registry is looked up where it is used (`selection.choose`), so that a plug-in's name is as good as ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    task: str = "auto"
    strategy: str = "auto"
    budget: str | None = None
    backbone: str = "auto"
    weights: str = "auto"
    head: str = "linear"
    image_size: int | None = Field(default=None, ge=16, le=2048)
    augment: str = "auto"
    epochs: int | None = Field(default=None, ge=1, le=100_000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    lr: float | None = Field(default=None, gt=0, lt=100, allow_inf_nan=False)
    patience: int | None = Field(default=None, ge=1, le=100_000)
    optimizer: str | None = None
    schedule: str | None = None
    schedule_options: str | None = None
    monitor: Literal["loss", "accuracy"] | None = None
    min_delta: float | None = Field(default=None, ge=0)
    warmup_epochs: float | None = Field(default=None, ge=0, le=1000)
    weight_decay: float | None = Field(default=None, ge=0, lt=10)
    l1: float | None = Field(default=None, ge=0, lt=10)
    l2: float | None = Field(default=None, ge=0, lt=10)
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    clip_norm: float | None = Field(default=None, gt=0)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    balance: Balance | None = None
    auxiliary_weight: float | None = Field(default=None, ge=0)
    weights_pattern: str | None = None
    unfreeze: float | None = Field(default=None, ge=0, le=1)
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    batch_norm: BatchNormMode = "frozen"
    precision: Precision | None = None
    compile: bool = False
    engine: str = "onnxruntime"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    coverage: float | None = Field(default=None, gt=0, lt=1)
    false_refusal: float | None = Field(default=None, gt=0, lt=1)
    split_by: str | None = None
    keep_leaks: bool = False
    private: bool = False
    seed: int = Field(default=0, ge=0, lt=2**32)

    def method(self, default: Method) -> Method:
        """How to learn: a strategy's own way, and what was asked for in its place.

        Raises:
            UnknownName: No such optimizer, or schedule.
            InputError: The schedule has no such option, or the warm-up leaves no epoch to it.
        """
        asked = {name: value for name in OF_METHOD if (value := getattr(self, name)) is not None}
        method = replace(default, seed=self.seed, compile=self.compile, **asked)
        if self.schedule_options is not None:
            method = replace(method, schedule_options=_numbers(self.schedule_options, "--schedule-options"))
        if self.warmup_epochs is not None and self.warmup_epochs >= method.epochs:
            raise InputError(
                "the warm-up is as long as the whole training",
                got=f"--warmup-epochs {self.warmup_epochs:g} of {method.epochs} epochs",
                expected="less than the epochs",
                fix="give fewer, or more --epochs",
            )
        method = replace(method, warmup_epochs=min(method.warmup_epochs, method.epochs / 2))  # a strategy's own, in a short training
        lr_factor(method.schedule, Moment(0, method.epochs), options=method.schedule_options)  # its name and its options
        own_lr = OPTIMIZERS[method.optimizer].info.lr
        if (
            self.lr is None and method.optimizer != default.optimizer
        ):  # each optimizer has a rate of its own size: what is 0.001 for adam is 0.1 for sgd
            method = replace(method, lr=default.lr * own_lr / OPTIMIZERS[default.optimizer].info.lr)
        stop = {name: value for name in ("monitor", "min_delta", "patience") if (value := getattr(self, name)) is not None}
        return replace(method, stop=replace(method.stop, **stop))


def _numbers(text: str, option: str) -> dict[str, float]:
    """Names to numbers: "factor=0.5 patience=3"."""
    found: dict[str, float] = {}
    for part in text.replace(",", " ").split():
        name, _, value = part.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise InputError(
                f"{option} cannot read {part!r}",
                got=text,
                expected="name=number, with spaces between several",
                fix='for example "factor=0.5 patience=3"',
            ) from error
    return found


def checked(**values: Any) -> TrainSettings:
    """The settings of `train` from plain values; raises as `checked_as` does."""
    return checked_as(TrainSettings, **values)


def checked_as(kind: type[Settings], **values: Any) -> Settings:
    """Settings of any kind from plain values.

    Raises:
        InputError: The first value that cannot be, with the option's name and what it may be.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        option = f"--{name.replace('_', '-')}"
        field = kind.model_fields.get(name)
        if field is None:
            raise InputError(
                f"there is no option {option}", got=option, expected="one of " + ", ".join(kind.model_fields),
                fix=f"did you mean {' or '.join(near)}?" if (near := get_close_matches(name, kind.model_fields)) else "leave it out",
            ) from error  # fmt: skip
        expected = expected_of(first, field.metadata)
        if int in (field.annotation, *get_args(field.annotation)):
            expected = expected.replace("a number", "a whole number", 1)
        raise InputError(
            f"{option} cannot be {first.get('input')!r}",
            got=repr(first.get("input")),
            expected=expected,
            fix=f"give {option} such a value" + ("" if field.is_required() else ", or leave it out"),
        ) from error
