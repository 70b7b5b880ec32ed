"""Makes the weights that lie in the package: `fovea_tiny`, taught by MobileNetV2 with 64 px pictures of 180 classes.

    python tools/make_fovea_tiny.py --out tiny

trains, goes on where it was stopped, and then writes the weights into the package and their ONNX form into the folder. It needs the real data (`../shared`, or the
folder that FOVEA_TEST_DATA names). Twenty classes, drawn by the seed below, are kept out of all of it, so that they can be asked about afterwards
(`benchmarks/run.py packaged`).

Pictures that look like one of `data/imagenet_samples` or `data/cats_dogs` are left out too: the first are ImageNet's, as these are.
It takes about two hours on 2 cores, a sixth of which is asking the teacher.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.harness.places import WEIGHTS, shared  # noqa: E402
from benchmarks.harness.tiny import Picture, drawn, extract, labels, names_of, pictures_of, write_table  # noqa: E402

SEED, NUM_HELD_OUT = 20261122, 20
TEACHER_PX, SIZE_PX = 160, 80
_CHOOSING = range(162, 164)  # places among a class's pictures on the side "train": they are watched, not learned from
_ASKED_ABOUT, _ALIKE = ("data/imagenet_samples", "data/cats_dogs"), 0.9  # correlation: LOG.md has which are the same photo


class Stage(NamedTuple):
    """One distillation; each begins with the weights of the one before. What each brought is in LOG.md."""

    epochs: int
    seed: int
    size_px: int = SIZE_PX
    views: int = 7
    augment: str = "standard+mixup"
    lr: float = 0.002
    embedding_weight: float = 10.0


STAGES = (Stage(epochs=36, seed=0),)


def held_out() -> list[str]:
    """The classes that no weights of the package have seen."""
    return drawn(SEED, NUM_HELD_OUT)


def unpack(folder: Path) -> Path:
    """The pictures of the other classes and their table, without those that look like a picture that others are asked about."""
    table = folder / "table.csv"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pictures = pictures_of(set(labels()) - set(held_out()))
        extract(pictures, folder)
        asked_about = [path for name in _ASKED_ABOUT for path in sorted(shared(name).rglob("*.jpg"))]
        seen = _looks(folder / picture.path for picture in pictures)
        alike = np.max([_looks(asked_about, cut=cut) @ seen.T for cut in (False, True)], axis=(0, 1)) > _ALIKE
        kept = [picture for picture, left_out in zip(pictures, alike, strict=True) if not left_out]
        print(f"{len(pictures) - len(kept)} of {len(pictures):,} pictures look like one of {' and '.join(_ASKED_ABOUT)}: left out")
        write_table([(each.path, each.label, "validation" if _chooses(each) else "train") for each in kept], table)
    return table


def _chooses(picture: Picture) -> bool:
    return picture.side == "train" and picture.place in _CHOOSING


def _looks(paths: Iterable[Path], *, cut: bool = False) -> npt.NDArray[np.float32]:
    """(N, 256): each picture in grey at 16 x 16 px, whole or cut square, so that a product of two rows is their correlation."""
    rows = []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if cut:
            height, width = picture.shape
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            picture = picture[top : top + side, left : left + side]
        grey = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        grey -= grey.mean()
        rows.append(grey / (np.linalg.norm(grey) + 1e-6))
    return np.stack(rows)


def _teacher(out: Path) -> Path:
    """MobileNetV2 as it is, with its own head."""
    from fovea.recipes.bundle import bundle

    made = out / "teacher"
    if not (made / "bundle.json").exists():
        bundle(
            backbone="mobilenet_v2", weights=str(shared(WEIGHTS)), image_size=TEACHER_PX, classes="imagenet_1k", out=str(made), overwrite=True
        )  # fmt: skip
    return made


def learn(table: Path, out: Path) -> list[Path]:
    """The student, stage by stage; gives its runs."""
    import fovea

    made = list[Path]()
    for number, stage in enumerate(STAGES, 1):
        student = out / f"student{number}"
        if (student / "metrics.json").exists():
            _check_same(stage, student)
        else:
            options = {"image_size" if name == "size_px" else name: value for name, value in stage._asdict().items()}
            fovea.distill(
                str(_teacher(out)), str(table), out=str(student), student="fovea_tiny", weights=str(made[-1]) if made else "none", **options
            )  # fmt: skip
        made.append(student)
    return made


def _check_same(stage: Stage, student: Path) -> None:
    """A finished student must be this stage's, by the settings that lie beside it; of the weights that it began with they say only a path."""
    made = json.loads((student / "checkpoint" / "settings.json").read_text())["settings"]
    wanted = {name: value for name, value in stage._asdict().items() if name in made} | {"image_size": stage.size_px}
    if other := {name: made[name] for name, value in wanted.items() if made[name] != value}:
        sys.exit(f"{student} was made with {other}, and this stage has {wanted}: take it away, or choose another --out")


def _hours(student: Path) -> float:
    """Of learning: the epochs' own seconds, so that stops do not count."""
    with open(student / "history.csv", newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file)) / 3600


def _score(weights: Path) -> str:
    """What linear probes make of the weights, on validation pictures: test pictures are asked once, by the benchmark."""
    from benchmarks.questions.packaged import on_validation

    said = "; ".join(
        f"{data} " + ", ".join(f"{right / n:.1%} at {side} px" for _, side, right, n in sides) + f" (n = {sides[0][3]:,})"
        for data, group in groupby(on_validation(str(weights), (SIZE_PX, 128)), key=itemgetter(0))
        for sides in [list(group)]
    )
    return (
        f"linear probes on frozen embeddings, validation pictures: {said}. Test pictures, with intervals: benchmarks/RESULTS.md, packaged"
    )


def write(students: list[Path], onnx: Path) -> Path:
    """The weights as float16 with their passport into the package, and their ONNX form beside the student."""
    from fovea.engines.to_onnx import half_weights, module_to_onnx
    from fovea.models.backbone import BACKBONES, create_backbone, normalisation
    from fovea.models.network import PixelBackbone
    from fovea.models.passport import Passport
    from fovea.models.weights import load_weights, resolve_weights, save_weights
    from fovea.models.weights.find import PACKAGED
    from fovea.models.weights.golden import golden_values

    found = resolve_weights("fovea_tiny", str(students[-1]))
    backbone = create_backbone("fovea_tiny")
    load_weights(backbone, found)
    for tensor in backbone.state_dict().values():
        if tensor.ndim > 1:
            tensor.copy_(tensor.half())  # as the file keeps it
    mean, std = normalisation(BACKBONES["fovea_tiny"].info, found.passport)
    body = PixelBackbone(backbone, mean, std)
    num_learned = json.loads((students[-1] / "metrics.json").read_text())["num_files"]["train"]
    hours, kept_out = sum(map(_hours, students)), [name.split(",")[0] for name in names_of(held_out())]
    seeds = ", ".join(str(stage.seed) for stage in STAGES)
    epochs = ", ".join(f"{stage.epochs} at {stage.size_px} px" for stage in STAGES)
    passport = Passport(
        name="fovea_tiny of Fovea",
        sha256="",
        licence="Apache-2.0 for these numbers; the pictures that they were learned from are ImageNet's (Tiny-ImageNet), are not Fovea's, and are not in the package",
        trained_on=(
            f"{num_learned:,} pictures of 64 px, 180 classes of Tiny-ImageNet, from the answers of MobileNetV2 (ImageNet weights of the folder `shared`) in its own 1,000 classes; "
            f"python tools/make_fovea_tiny.py, seeds {seeds}, epochs {epochs}, {hours:.1f} hours of learning on 2 cores (asking the teacher about "
            f"the views came on top). Never seen, drawn by the seed {SEED}: {', '.join(kept_out)} "
            "(no picture of them; the teacher's thousand answers, which were learned too, have a place for each of them). "
            f"Left out was also what looks like a picture of {' or '.join(_ASKED_ABOUT)} (in grey, at 16 x 16 px, a correlation above {_ALIKE})"
        ),
        image_size_px=SIZE_PX,
        score=_score(students[-1]),
        backbone="fovea_tiny",
        options=dict(backbone.made_with),
        mean=mean,
        std=std,
        golden=golden_values(body, SIZE_PX),
    )
    onnx.write_bytes(half_weights(module_to_onnx(body.eval(), size_px=SIZE_PX)))
    return save_weights(backbone, PACKAGED / "fovea_tiny.safetensors", passport, half=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", required=True, help="a folder for the pictures, the teacher and the student; it is gone on with where it is there"
    )
    asked = parser.parse_args()
    out = Path(asked.out)

    from fovea.progress import shown

    with shown():
        place = write(learn(unpack(out / "pictures"), out), out / "fovea_tiny.onnx")
    print(f"{place}: {place.stat().st_size:,} bytes; {out / 'fovea_tiny.onnx'}: {(out / 'fovea_tiny.onnx').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
