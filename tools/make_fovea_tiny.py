"""Makes the weights that lie in the package: `fovea_tiny`, taught by MobileNetV2 with 64 px pictures of 180 classes.

    python tools/make_fovea_tiny.py --out tiny

trains, goes on where it was stopped, and then writes the weights into the package and their ONNX form into the folder. It needs the real data (`../shared`, or the
folder that FOVEA_TEST_DATA names). Twenty classes, drawn by the seed below, are kept out of all of it, so that they can be asked about afterwards
(`benchmarks/run.py packaged`).

All stages take 4.6 hours of learning on 2 cores, and asking the teacher on top. Where the folder holds the weights of an earlier stage as `studentN.safetensors`, they are gone on with. The last stage was made so,
from the third's as they were in the package:

    git show 6cdaea5:src/fovea/models/packaged/fovea_tiny.safetensors > tiny/student3.safetensors
"""

import argparse
import csv
import json
import re
import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.harness.places import WEIGHTS, shared  # noqa: E402
from benchmarks.harness.tiny import drawn, extract, labels, names_of, pictures_of, write_table  # noqa: E402

SEED, NUM_HELD_OUT = 20261122, 20
TEACHER_PX, SIZE_PX = 160, 80


class Table(NamedTuple):
    """Which pictures of a class are learned from, of the 180 and 30 of the archive's two sides: all of `sides` but those that choose."""

    sides: tuple[str, ...]
    choosing: range  # places among the class's pictures on the side "train"


TABLES = {
    "most": Table(("train",), range(162, 180)),
    "all": Table(("train", "validation"), range(162, 164)),
}


class Stage(NamedTuple):
    """One distillation; each begins with the weights of the one before. What each brought is in LOG.md."""

    teacher: str  # "probe": MobileNetV2 with a probe of these 180 classes; "imagenet": with its own head of 1,000
    table: str
    size_px: int
    augment: str
    views: int
    epochs: int
    lr: float
    seed: int
    embedding_weight: float = 1.0
    precision: str = "float32"


STAGES = (
    Stage("probe", "most", 64, "standard", views=6, epochs=40, lr=0.002, seed=0),
    Stage("probe", "most", 64, "standard+mixup", views=10, epochs=30, lr=0.002, seed=0),
    Stage("imagenet", "all", 80, "standard+mixup", views=0, epochs=12, lr=0.0015, seed=2),
    Stage("imagenet", "all", 80, "standard+mixup", views=7, epochs=17, lr=0.002, seed=3, embedding_weight=10),
)


_TEACHERS = {"probe": "teacher", "imagenet": "teacher_imagenet"}  # their folders


def held_out() -> list[str]:
    """The classes that no weights of the package have seen."""
    return drawn(SEED, NUM_HELD_OUT)


def unpack(folder: Path) -> None:
    """The pictures of the other classes, with the tables of them."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = pictures_of(set(labels()) - set(held_out()))
    for title, table in TABLES.items():
        if not (folder / f"{title}.csv").exists():
            taken = [picture for picture in pictures if picture.side in table.sides]
            extract(taken, folder)
            rows = [
                (each.path, each.label, "validation" if each.side == "train" and each.place in table.choosing else "train")
                for each in taken
            ]
            write_table(rows, folder / f"{title}.csv")


def _teacher(name: str, out: Path) -> Path:
    """MobileNetV2 with a probe of these classes ("probe"), or as it is ("imagenet")."""
    import fovea
    from fovea.recipes.bundle import bundle

    options = {"backbone": "mobilenet_v2", "weights": str(shared(WEIGHTS)), "image_size": TEACHER_PX}
    made = out / _TEACHERS[name]
    if name == "probe":
        if not (made / "metrics.json").exists():
            fovea.train(str(out / "pictures" / "most.csv"), out=str(made), strategy="probe", **options)  # type: ignore[arg-type]
    elif not (made / "bundle.json").exists():
        bundle(**options, classes="imagenet_1k", out=str(made), overwrite=True)  # type: ignore[arg-type]
    return made


def learn(out: Path) -> list[Path]:
    """The student, stage by stage; gives its runs, behind the weights of an earlier stage where they lie in the folder."""
    import fovea

    names = [f"student{number}" for number, _ in enumerate(STAGES, 1)]
    made = [out / f"{name}.safetensors" for name in names[:-1] if (out / f"{name}.safetensors").exists()][-1:]
    begin = names.index(made[0].stem) + 1 if made else 0
    for stage, student in zip(STAGES[begin:], [out / name for name in names[begin:]], strict=True):
        if (student / "metrics.json").exists():
            _check_same(stage, student)
        else:
            options = {name: value for name, value in stage._asdict().items() if name not in ("teacher", "table", "size_px")}
            teacher, pictures = _teacher(stage.teacher, out), out / "pictures" / f"{stage.table}.csv"
            fovea.distill(
                str(teacher), str(pictures), out=str(student), student="fovea_tiny", weights=str(made[-1]) if made else "none", image_size=stage.size_px, **options
            )  # fmt: skip
        made.append(student)
    return made


def _check_same(stage: Stage, student: Path) -> None:
    """A finished student must be this stage's, by the settings that lie beside it; of the weights that it began with they say only a path."""
    made = json.loads((student / "checkpoint" / "settings.json").read_text())["settings"]
    made |= {name: Path(made[name]).name for name in ("teacher", "data")}
    wanted = {name: value for name, value in stage._asdict().items() if name in made} | {
        "image_size": stage.size_px,
        "data": f"{stage.table}.csv",
    }
    wanted["teacher"] = _TEACHERS[stage.teacher]
    if other := {name: made[name] for name, value in wanted.items() if made[name] != value}:
        sys.exit(f"{student} was made with {other}, and this stage has {wanted}: take it away, or choose another --out")


def _hours(student: Path) -> float:
    """Of learning: the epochs' own seconds, so that stops do not count; of weights what their passport says."""
    if not student.is_dir():
        from fovea.models.weights import resolve_weights

        told = re.search(r"([0-9.]+) hours", resolve_weights("fovea_tiny", str(student)).passport.trained_on)
        return float(told[1]) if told else sys.exit(f"{student} says nothing of its hours: take weights that this tool wrote")
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
    last = f", in the last {STAGES[-1].embedding_weight:g} times the weight on the embedding"
    if not students[0].is_dir():
        last += f"; gone on with from {students[0].stem} as float16"
    passport = Passport(
        name="fovea_tiny of Fovea",
        sha256="",
        licence="Apache-2.0 for these numbers; the pictures that they were learned from are ImageNet's (Tiny-ImageNet), are not Fovea's, and are not in the package",
        trained_on=(
            f"{num_learned:,} pictures of 64 px, 180 classes of Tiny-ImageNet, from the answers of MobileNetV2 (ImageNet weights of the folder `shared`), with a probe on "
            f"these classes and then with its own 1,000; python tools/make_fovea_tiny.py, seeds {seeds}, epochs {epochs}{last}, {hours:.1f} hours of learning on 2 cores (asking the teacher about "
            f"the views came on top). Never seen, drawn by the seed {SEED}: {', '.join(kept_out)} "
            "(no picture of them; the teacher's thousand answers, which were learned too, have a place for each of them). "
            "At least 32 of the pictures also lie in data/imagenet_samples of the real data (found afterwards: LOG.md); none of the photos of cats_dogs does, and no test picture of the held-out classes"
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
    unpack(out / "pictures")
    place = write(learn(out), out / "fovea_tiny.onnx")
    print(f"{place}: {place.stat().st_size:,} bytes; {out / 'fovea_tiny.onnx'}: {(out / 'fovea_tiny.onnx').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
