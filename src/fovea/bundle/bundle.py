"""A bundle in use: opened, checked against its own golden answers, and asked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from fovea.bundle.archive import read_files, unpack_arrays
from fovea.bundle.conformal import sets_of
from fovea.bundle.format import BUNDLE_FORMAT, BundleInfo
from fovea.bundle.neighbours import FILE as NEIGHBOURS_FILE
from fovea.bundle.neighbours import Neighbours, read_neighbours
from fovea.bundle.refusal import FILE as REFUSAL_FILE
from fovea.bundle.refusal import Refusal, read_refusal
from fovea.data import decode
from fovea.engines import Engine, open_engine
from fovea.errors import BundleError, UnreadableImage, told_of
from fovea.loading.parallel import chunks, map_ordered
from fovea.loading.readers import Reader
from fovea.tasks import TASKS, Task, create_task
from fovea.types import Floats, Pixels, Prediction

TOLERANCE = 1e-4  # largest difference of a probability between what made a bundle and what it answers
_OF_SPREAD, _OF_SIZE = 1e-3, 1e-5  # the same of a number in units of its own: shares of how far the answers differ, and of the largest
EMBEDDING_TOLERANCE = 1e-3  # the same of an embedding, as a share of its largest value: it has no scale of its own
_HEAD_SLACK = 100.0  # of the answers by way of the maps: their means may be 1e-4 off the embedding, and large weights multiply that
ALLOWED = (
    f"probabilities within {TOLERANCE:g}, and embeddings (and numbers of other units) within {EMBEDDING_TOLERANCE:g} of their largest value"
)
FEATURES = "features"  # the optional output (B, C, h, w) whose means over places are the embedding
HEAD_FILE = "head.npz"  # weight (K, C) and bias (K,) of a linear head that reads them
SIDE = "side_px"  # beside the outputs: the shorter side of the picture in its file
_TURN = 8  # pictures a turn of a thread, as in embedding
_TINY = 4  # a picture whose side is this many times smaller than the model's shows next to nothing of what it learned to see


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Its answers come from `model.onnx` alone; nothing of training is needed.

    Args:
        info: What `bundle.json` says.
        path: Where it was read from.
        engine: Runs the model; safe from several threads.
        task: Knows what the outputs mean.
        refusal: Tells pictures that are like nothing it was shown; None refuses none.
        neighbours: Training pictures to explain by example with; None where it brings none.
        head: (weight (K, C), bias (K,)), calibrated: applied to the means of the output `features` they give what the
            activation makes answers of. None where there is no such output.
    """

    info: BundleInfo
    path: Path
    engine: Engine
    task: Task
    refusal: Refusal | None = None
    neighbours: Neighbours | None = None
    head: tuple[Floats, Floats] | None = None

    @property
    def class_names(self) -> list[str]:
        return self.info.class_names

    def to_json(self) -> dict[str, Any]:
        """What `bundle.json` says, and where it was read from."""
        return {"path": str(self.path)} | self.info.to_json()

    def to_text(self) -> str:
        names = ", ".join(self.class_names[:10]) + (" ..." if len(self.class_names) > 10 else "")
        what = TASKS[self.info.task].info.kind or "names"
        return (
            f"{self.path}: {self.info.backbone}, {len(self.class_names)} {what} ({names}), pictures of {self.info.preprocessing.size_px} px"
        )

    def prepare(self, content: bytes, *, path: str = "picture") -> Pixels:
        """An image file's bytes -> the model's square, uint8 (S, S, 3).

        Raises:
            UnreadableImage: It cannot be decoded; the message names `path`.
        """
        return self.prepare_measured(content, path=path)[0]

    def prepare_measured(self, content: bytes, *, path: str = "picture") -> tuple[Pixels, tuple[int, int]]:
        """The same, and width and height of the picture in the file, the right way up, in pixels."""
        preprocessing = self.info.preprocessing
        decoded = decode(content, path=path, min_side_px=preprocessing.min_side_px)
        return preprocessing.apply(decoded.pixels), (decoded.width_px, decoded.height_px)

    def caution(self, side_px: int) -> str:
        """What must be known with the answer for a picture whose shorter side is that long, or ""."""
        size_px = self.info.preprocessing.size_px
        if side_px * _TINY >= size_px:
            return ""
        return (
            f"the picture is only {side_px} px on its shorter side and the model looks at {size_px} px: "
            "do not trust the answer, unless it learned from pictures as small"
        )

    def outputs(self, pixels: Pixels) -> dict[str, Floats]:
        """uint8 (B, S, S, 3) as `prepare` gives -> the model's outputs, and what the bundle adds to them.

        That is `prediction_set`, bool (B, K), where it promises sets, and `refused`, bool (B,), where it can refuse.
        """
        found = self.engine(pixels, tuple(name for name in self.engine.output_names if name != FEATURES))  # maps are for explanations
        return found | sets_of(found, self.info.conformal) | (self.refusal.judge(found["embedding"]) if self.refusal else {})

    def predict_bytes(self, content: bytes, *, path: str = "picture") -> Prediction:
        """What the model says of one image file."""
        return self.task.decode(self.outputs(self.prepare(content, path=path)[None]))[0]

    def outputs_of(self, readers: Sequence[Reader]) -> Iterator[dict[str, Floats] | UnreadableImage]:
        """The outputs (without the batch axis) of many image files in their order, decoded and run side by side in threads.

        Beside the model's there is SIDE, how many pixels the shorter side of the picture in the file has, a single number.
        """

        def look(turn: range) -> list[dict[str, Floats] | UnreadableImage]:
            found: list[tuple[Pixels, tuple[int, int]] | UnreadableImage] = []
            for index in turn:
                try:
                    found.append(self.prepare_measured(readers[index].read(), path=readers[index].path))
                except UnreadableImage as problem:
                    found.append(problem)
            whole = [each[0] for each in found if not isinstance(each, UnreadableImage)]
            outputs = self.outputs(np.stack(whole)) if whole else {}
            rows = iter(range(len(whole)))
            answers: list[dict[str, Floats] | UnreadableImage] = []
            for each in found:
                if isinstance(each, UnreadableImage):
                    answers.append(each)
                else:
                    row = next(rows)
                    side = np.asarray(min(each[1]), np.float32)
                    answers.append({SIDE: side} | {name: values[row] for name, values in outputs.items()})
            return answers

        for answers in map_ordered(look, chunks(len(readers), _TURN)):
            yield from answers


def load_bundle(path: str | Path, *, engine: str = "onnxruntime") -> Bundle:
    """Opens a bundle (a folder, a `.fovea` file, or a run folder) and checks that it answers as it did when it was made.

    Raises:
        BundleError: It is missing, incomplete, of a newer format, or gives other answers than its golden ones.
    """
    path = Path(path)
    files = read_files(path)
    info = _parse(files["bundle.json"], path)
    arrays = unpack_arrays(files[REFUSAL_FILE], path=path, name=REFUSAL_FILE) if info.refusal and REFUSAL_FILE in files else None
    refusal = read_refusal(info.refusal, arrays, path=path)
    task = create_task(info.task, info.class_names).settled(info.settled)
    examples = unpack_arrays(files[NEIGHBOURS_FILE], path=path, name=NEIGHBOURS_FILE) if NEIGHBOURS_FILE in files else None
    golden = unpack_arrays(files["golden.npz"], path=path)
    opened = open_engine(files["model.onnx"], name=engine)
    check_golden(opened, golden, path=path)
    neighbours = read_neighbours(examples, path=path, width=golden["embedding"].shape[1] if "embedding" in golden else None)
    return Bundle(info, path, opened, task, refusal, neighbours, _head_of(files, info, task, golden, path))


def _head_of(
    files: Mapping[str, bytes], info: BundleInfo, task: Task, golden: Mapping[str, Floats], path: Path
) -> tuple[Floats, Floats] | None:
    """The weights of the head that reads the means of the maps, where the bundle gives these.

    Raises:
        BundleError: They do not fit the outputs that it declares, or do not give its golden answers.
    """
    if FEATURES not in info.outputs or HEAD_FILE not in files:
        return None
    arrays = unpack_arrays(files[HEAD_FILE], path=path, name=HEAD_FILE)
    channels, count = info.outputs[FEATURES].shape[1], len(info.class_names)
    right = {"weight": (count, channels), "bias": (count,)}
    found = {name: arrays[name] for name in right if name in arrays}
    got = ", ".join(f"{name} {values.shape} {values.dtype}" for name, values in found.items())
    fits = {name: values.shape for name, values in found.items()} == right and all(values.dtype.kind == "f" for values in found.values())
    if fits and FEATURES in golden and task.answer in golden:
        maps = golden[FEATURES]
        if maps.ndim == 4 and maps.shape[1] == channels:
            logits: Floats = maps.mean(axis=(2, 3)) @ found["weight"].T + found["bias"]
            got = differences({task.answer: _activated(task, logits)}, {task.answer: golden[task.answer]}, slack=_HEAD_SLACK)
            if not got:
                return found["weight"].astype(np.float32), found["bias"].astype(np.float32)
    raise BundleError(
        f"{HEAD_FILE} of the bundle {str(path)!r} does not belong to its model", got=got or "none of its arrays",
        expected=f"numbers, weight ({count}, {channels}) and bias ({count},), that give the golden answers",
        fix="copy the whole bundle again, or make it again",
    )  # fmt: skip


def _activated(task: Task, logits: Floats) -> Floats:
    """(B, K) logits of a head with the calibration in it -> answers."""
    if task.activation == "identity":
        return logits
    with np.errstate(all="ignore"):  # what is no number is found by whoever compares
        if task.activation == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def check_golden(engine: Engine, golden: dict[str, Floats], *, path: Path) -> None:
    """Runs the golden inputs and compares with all golden outputs.

    Raises:
        BundleError: An output is missing, or differs by more than `difference` allows.
    """
    wanted = tuple(name for name in golden if name != "pixels")
    missing = [name for name in wanted if name not in engine.output_names]
    if "pixels" not in golden or missing or not wanted:
        raise BundleError(
            f"the bundle {str(path)!r} and its golden answers do not belong together",
            got=", ".join(golden),
            expected="pixels and " + ", ".join(engine.output_names),
            fix="copy the whole bundle again, or make it again",
        )
    answers = engine(golden["pixels"].astype(np.uint8), wanted)
    if told := differences(answers, {name: golden[name] for name in wanted}):
        raise BundleError(
            f"the bundle {str(path)!r} no longer answers as it did when it was made",
            got=told,
            expected=ALLOWED,
            fix="copy the bundle again: its model or golden.npz was changed; if that does not help, say which engine and processor it is",
        )


def differences(answers: Mapping[str, Floats], expected: Mapping[str, Floats], *, slack: float = 1.0) -> str:
    """What differs by more than is allowed, or than `slack` times that, in words; "" where nothing does."""
    told = []
    for name, right in expected.items():
        allowed = slack * _allowed(name, right)
        found = answers[name]
        apart = float(np.abs(found - right).max(initial=0)) if found.shape == right.shape else float("inf")
        if not apart <= allowed:  # also where it is not a number
            told.append(f"{name} apart by {apart:.2g}")
    return " and ".join(told)


def _allowed(name: str, right: Floats) -> float:
    """How far an output may be off."""
    largest = float(np.abs(right).max(initial=0))
    if name in ("embedding", FEATURES):
        return EMBEDDING_TOLERANCE * largest
    if name == "probabilities":
        return TOLERANCE
    spread = float(np.ptp(right, axis=0).max(initial=0)) if len(right) else 0.0
    return _OF_SPREAD * spread + _OF_SIZE * largest


def _parse(content: bytes, path: Path) -> BundleInfo:
    try:
        raw = json.loads(content)
    except (ValueError, UnicodeDecodeError) as error:
        raise BundleError(
            f"bundle.json of {str(path)!r} is broken", got=str(error), expected="JSON", fix="copy the bundle again, or make it again"
        ) from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if isinstance(found, int) and found > BUNDLE_FORMAT:
        raise BundleError(
            f"the bundle {str(path)!r} was made by a newer Fovea",
            got=f"format {found}",
            expected=f"format {BUNDLE_FORMAT}",
            fix="open it with a newer copy of Fovea",
        )
    try:
        return BundleInfo.model_validate(raw)
    except ValidationError as error:
        raise BundleError(
            f"bundle.json of {str(path)!r} is not as a bundle's must be: {'.'.join(map(str, error.errors()[0]['loc']))}",
            got=told_of(error),
            expected="what bundle.schema.json says",
            fix="make the bundle again",
        ) from error
