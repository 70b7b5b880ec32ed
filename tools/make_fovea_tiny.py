"""Makes the weights that lie in the package: `fovea_tiny`, taught by MobileNetV2 on 64 px pictures of 180 classes.

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
NUM_LEARNED = 162  # pictures a class; the other 18 of each choose
TEACHER_PX, SIZE_PX = 160, 80


class Stage(NamedTuple):
    """One distillation; each begins with the weights of the one before. What each brought is in LOG.md."""

    size_px: int
    augment: str
    views: int
    epochs: int
    lr: float
    seed: int


STAGES = (
    Stage(64, "standard", views=6, epochs=40, lr=0.002, seed=0),
    Stage(64, "standard+mixup", views=10, epochs=30, lr=0.002, seed=0),
)


def held_out(archive: zipfile.ZipFile) -> list[str]:
    """The classes that no weights of the package have seen."""
    labels = sorted({name.split("/")[1] for name in archive.namelist() if name.count("/") == 2})
    return sorted(random.Random(SEED).sample(labels, NUM_HELD_OUT))


def unpack(folder: Path) -> tuple[Path, list[str]]:
    """The training pictures of the other classes with a table of them; and the names of the classes that are kept out."""
    folder.mkdir(parents=True, exist_ok=True)
    table, seen = folder / "pictures.csv", dict[str, int]()
    with zipfile.ZipFile(shared(DATA)) as archive:
        kept_out = held_out(archive)
        if not table.exists():
            rows = []
            for name in sorted(archive.namelist()):
                side, _, label = name.rpartition("/")[0].partition("/")
                if side == "train" and label not in kept_out:
                    archive.extract(name, folder)
                    seen[label] = seen.get(label, 0) + 1
                    rows.append((name, label, "train" if seen[label] <= NUM_LEARNED else "validation"))
            with open(table, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("path", "label", "split"), *rows])
        names = json.loads(archive.read("classes.json"))
    return table, [str(names[label]).split(",")[0] for label in kept_out]


def learn(out: Path, table: Path) -> list[Path]:
    """The teacher (MobileNetV2 and a probe of it on these classes) and its student, stage by stage; gives the student's runs."""
    import fovea

    teacher = out / "teacher"
    if not (teacher / "metrics.json").exists():
        fovea.train(
            str(table), out=str(teacher), strategy="probe", backbone="mobilenet_v2", weights=str(shared(WEIGHTS)), image_size=TEACHER_PX
        )
    students = [out / f"student{number}" for number, _ in enumerate(STAGES, 1)]
    for number, (stage, student) in enumerate(zip(STAGES, students, strict=True)):
        if not (student / "metrics.json").exists():
            fovea.distill(
                str(teacher),
                str(table),
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


def write(students: list[Path], kept_out: list[str], onnx: Path, score: str) -> Path:
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
    hours, num_learned = sum(each["timing"]["total_s"] for each in metrics) / 3600, metrics[0]["num_files"]["train"]
    seeds = ", ".join(str(stage.seed) for stage in STAGES)
    epochs = ", ".join(f"{stage.epochs} at {stage.size_px} px" for stage in STAGES)
    passport = Passport(
        name="fovea_tiny of Fovea",
        sha256="",
        licence="Apache-2.0 for these numbers; the pictures that they were learned from are ImageNet's (Tiny-ImageNet), are not Fovea's, and are not in the package",
        trained_on=(
            f"{num_learned:,} pictures of 64 px, {num_learned // NUM_LEARNED} classes of Tiny-ImageNet ({NUM_LEARNED} each), from the answers of MobileNetV2 (ImageNet weights of the folder `shared`) with a probe on "
            f"these classes; python tools/make_fovea_tiny.py, seeds {seeds}, epochs {epochs}, {hours:.1f} hours on 2 cores. Never seen: {', '.join(kept_out)}"
        ),
        image_size_px=SIZE_PX,
        score=score,
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
    parser.add_argument("--score", default="see benchmarks/RESULTS.md, packaged", help="what the passport says of how well they do")
    asked = parser.parse_args()
    out = Path(asked.out)
    table, kept_out = unpack(out / "pictures")
    place = write(learn(out, table), kept_out, out / "fovea_tiny.onnx", asked.score)
    print(f"{place}: {place.stat().st_size:,} bytes; {out / 'fovea_tiny.onnx'}: {(out / 'fovea_tiny.onnx').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
