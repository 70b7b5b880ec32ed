"""Makes the weights that lie in the package: `fovea_tiny`, taught by MobileNetV2 with 64 px pictures of 180 classes.

    python tools/make_fovea_tiny.py --out tiny

trains, goes on where it was stopped, and then writes the weights into the package and their ONNX form into the folder. It needs the real data (`../shared`, or the
folder that FOVEA_TEST_DATA names). Twenty classes, drawn by the seed below, are kept out of all of it, so that they can be asked about afterwards
(`benchmarks/run.py packaged`).
"""

import argparse
import csv
import json
import random
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.harness.places import WEIGHTS, shared  # noqa: E402

DATA = "data/tiny_imagenet_36k.zip"
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


STAGES = (
    Stage("probe", "most", 64, "standard", views=6, epochs=40, lr=0.002, seed=0),
    Stage("probe", "most", 64, "standard+mixup", views=10, epochs=30, lr=0.002, seed=0),
    Stage("imagenet", "all", 80, "standard+mixup", views=0, epochs=12, lr=0.0015, seed=2),
)


def held_out(archive: zipfile.ZipFile) -> list[str]:
    """The classes that no weights of the package have seen."""
    labels = sorted({name.split("/")[1] for name in archive.namelist() if name.count("/") == 2})
    return sorted(random.Random(SEED).sample(labels, NUM_HELD_OUT))


def unpack(folder: Path) -> list[str]:
    """The pictures of the other classes, with the tables of them; gives the names of the classes that are kept out."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(shared(DATA)) as archive:
        kept_out = held_out(archive)
        pictures = [(name, *name.split("/")[:2]) for name in sorted(archive.namelist()) if name.count("/") == 2 and not name.endswith("/")]
        pictures = [each for each in pictures if each[2] not in kept_out]
        for title, table in TABLES.items():
            if (folder / f"{title}.csv").exists():
                continue
            rows, seen = [], dict[str, int]()
            for name, side, label in pictures:
                if side in table.sides:
                    archive.extract(name, folder)
                    place = seen.get(label, 0)
                    seen[label] = place + (side == "train")
                    rows.append((name, label, "validation" if side == "train" and place in table.choosing else "train"))
            with open(folder / f"{title}.csv", "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("path", "label", "split"), *rows])
        names = json.loads(archive.read("classes.json"))
    return [str(names[label]).split(",")[0] for label in kept_out]


def _teachers(out: Path) -> dict[str, Path]:
    """MobileNetV2 with a probe of these classes, and as it is."""
    import fovea
    from fovea.recipes.bundle import bundle

    probe, imagenet = out / "teacher", out / "teacher_imagenet"
    options = {"backbone": "mobilenet_v2", "weights": str(shared(WEIGHTS)), "image_size": TEACHER_PX}
    if not (probe / "metrics.json").exists():
        fovea.train(str(out / "pictures" / "most.csv"), out=str(probe), strategy="probe", **options)  # type: ignore[arg-type]
    if not (imagenet / "bundle.json").exists():
        bundle(**options, classes="imagenet_1k", out=str(imagenet), overwrite=True)  # type: ignore[arg-type]
    return {"probe": probe, "imagenet": imagenet}


def learn(out: Path) -> list[Path]:
    """The teachers and their student, stage by stage; gives the student's runs."""
    import fovea

    teachers = _teachers(out)
    students = [out / f"student{number}" for number, _ in enumerate(STAGES, 1)]
    for number, (stage, student) in enumerate(zip(STAGES, students, strict=True)):
        if (student / "metrics.json").exists():
            _check_same(stage, student)
        else:
            fovea.distill(
                str(teachers[stage.teacher]),
                str(out / "pictures" / f"{stage.table}.csv"),
                out=str(student),
                student="fovea_tiny",
                weights=str(students[number - 1]) if number else "none",
                image_size=stage.size_px,
                augment=stage.augment,
                views=stage.views,
                epochs=stage.epochs,
                lr=stage.lr,
                seed=stage.seed,
            )
    return students


def _check_same(stage: Stage, student: Path) -> None:
    """A finished student must be this stage's: its passport says so."""
    made = json.loads((student / "checkpoint" / "settings.json").read_text())["settings"]
    wanted = {"image_size": stage.size_px} | {name: value for name, value in stage._asdict().items() if name in made and name != "teacher"}
    if other := {name: made[name] for name, value in wanted.items() if made[name] != value}:
        sys.exit(f"{student} was made with {other}, and this stage has {wanted}: take it away, or choose another --out")


def _hours(student: Path) -> float:
    """Of learning: the epochs' own seconds, so that stops do not count."""
    with open(student / "history.csv", newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file)) / 3600


def _score(weights: Path) -> str:
    """What linear probes make of the weights, on validation pictures: test pictures are asked once, by the benchmark."""
    from benchmarks.questions.packaged import on_validation

    found = on_validation(str(weights), (SIZE_PX, 128))
    said = "; ".join(f"{data} {right / n:.1%} at {side} px (n = {n:,})" for data, side, right, n in found)
    return (
        f"linear probes on frozen embeddings, validation pictures: {said}. Test pictures, with intervals: benchmarks/RESULTS.md, packaged"
    )


def write(students: list[Path], kept_out: list[str], onnx: Path) -> Path:
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
    metrics = [json.loads((student / "metrics.json").read_text()) for student in students]
    hours, num_learned = sum(map(_hours, students)), metrics[-1]["num_files"]["train"]
    seeds = ", ".join(str(stage.seed) for stage in STAGES)
    epochs = ", ".join(f"{stage.epochs} at {stage.size_px} px" for stage in STAGES)
    passport = Passport(
        name="fovea_tiny of Fovea",
        sha256="",
        licence="Apache-2.0 for these numbers; the pictures that they were learned from are ImageNet's (Tiny-ImageNet), are not Fovea's, and are not in the package",
        trained_on=(
            f"{num_learned:,} pictures of 64 px, 180 classes of Tiny-ImageNet, from the answers of MobileNetV2 (ImageNet weights of the folder `shared`), with a probe on "
            f"these classes and then with its own 1,000; python tools/make_fovea_tiny.py, seeds {seeds}, epochs {epochs}, {hours:.1f} hours on 2 cores. Never seen, drawn by the seed {SEED}: {', '.join(kept_out)} "
            "(no picture of them; the teacher's thousand answers, which were learned too, have a place for each of them)"
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
    kept_out = unpack(out / "pictures")
    place = write(learn(out), kept_out, out / "fovea_tiny.onnx")
    print(f"{place}: {place.stat().st_size:,} bytes; {out / 'fovea_tiny.onnx'}: {(out / 'fovea_tiny.onnx').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
