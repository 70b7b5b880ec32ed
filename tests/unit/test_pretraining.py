"""Weights made without labels, and from a teacher: what is compared is what was meant, they load again, and a kill loses nothing."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.stopped import Stop, stopped_after
from torch import nn

import fovea
from fovea.bundle.bundle import load_bundle
from fovea.data import open_source
from fovea.errors import BundleError, DataError, InputError, OutputError
from fovea.files import sha256_file
from fovea.losses.distillation import distillation
from fovea.models.backbone import create_backbone
from fovea.models.network import PixelBackbone
from fovea.recipes import _weights_run
from fovea.recipes.pretrain import Pretrained
from fovea.training import loop
from fovea.training.contrast import Contrast, Pairs, twins_found
from fovea.training.run import RunFolder
from fovea.training.teacher import at_size
from fovea.types import Floats, Ints


def test_the_loss_of_a_student_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    features, logits = torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.normal(size=(5, 4)))
    wanted = torch.cat([features, logits.softmax(1)], 1)
    assert distillation(torch.cat([features, logits + 7], 1), wanted, num_features=3, softness=2.0).item() == pytest.approx(0, abs=1e-6)
    other = torch.tensor(rng.normal(size=(5, 4)))
    soft, guess = (logits / 2).softmax(1), (other / 2).softmax(1)
    expected = 4 * (soft * (soft / guess).log()).sum(1).mean()
    for weight in (1, 10):
        told = distillation(torch.cat([features + 1, other], 1), wanted, num_features=3, softness=2.0, embedding_weight=weight)
        assert told.item() == pytest.approx(expected.item() + weight), "each number of the embedding is off by one"


def test_each_picture_has_one_twin_and_two_views(tmp_path: Path) -> None:
    from fovea.embeddings.store import EmbeddingStore
    from fovea.training.augment import augmentation_of

    with open_source("shapes", max_items=30, labelled=False) as source, EmbeddingStore(tmp_path / "store.sqlite") as store:
        kept = _weights_run.look(source, store, size_px=32, seed=0)
        rows = kept.rows["train"]
        pairs = kept.batches(rows, 32, batch_size=8, augmentation=augmentation_of("light"), seed=3, kind=Pairs)
        seen: list[int] = []
        for views, twins in pairs.epoch(0):
            half = len(views) // 2
            assert twins.tolist() == [*range(half, 2 * half), *range(half)]
            assert (views[:half] != views[half:]).any(axis=(1, 2, 3)).all(), "another variation of the same picture"
        for places in pairs.places(0):
            first, second = np.split(places, 2)
            assert (second - first == len(rows)).all()
            seen += first.tolist()
        assert sorted(seen) == list(range(len(rows)))
        assert len(pairs) == len(list(pairs.places(0)))
        rest = [views for views, _ in pairs.epoch(1)][2:]
        assert all((a == b).all() for a, b in zip(rest, [views for views, _ in pairs.epoch(1, 2)], strict=True))


def test_nothing_is_its_own_twin() -> None:
    model = Contrast(PixelBackbone(create_backbone("fovea_tiny"), (0.5,) * 3, (0.5,) * 3), temperature=0.1).eval()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    with torch.inference_mode():
        alike = model(torch.cat([pixels, pixels]))
    assert alike.argmax(1).tolist() == [2, 3, 0, 1]
    assert alike[0, 2].item() == pytest.approx(10, abs=1e-3), "the cosine of a picture with itself, divided by the temperature"


@pytest.mark.parametrize("side", [16, 32, 48])
def test_a_picture_is_brought_to_the_size_of_whoever_looks(side: int) -> None:
    grey = np.full((2, 32, 32, 3), 77, np.uint8)
    assert at_size(grey, side).shape == (2, side, side, 3)
    assert (at_size(grey, side) == 77).all()


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures without any order, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("loose")
    with open_source("shapes", max_items=60) as source:
        for number, item in enumerate(source.items):
            (folder / ("" if number % 2 else "deeper") / f"{number}.png").parent.mkdir(exist_ok=True)
            (folder / ("" if number % 2 else "deeper") / f"{number}.png").write_bytes(source.read(item))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


@pytest.mark.slow
def test_pretraining_needs_no_labels_and_is_taken_up_exactly(loose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"image_size": 32, "epochs": 2, "batch_size": 8}
    calm = fovea.pretrain(str(loose), out=str(tmp_path / "calm"), **options)
    assert calm.num_pictures == 60
    monkeypatch.setattr(loop, "_SAVE_S", 0.0)
    with monkeypatch.context() as patch:
        stopped_after(Pairs, 10, patch)  # type: ignore[arg-type]  # a class does as well: its batches come one by one
        with pytest.raises(Stop):
            fovea.pretrain(str(loose), out=str(tmp_path / "killed"), **options)
    fovea.pretrain(str(loose), out=str(tmp_path / "killed"), **options)
    files = [tmp_path / name / "checkpoint" / "best.safetensors" for name in ("calm", "killed")]
    assert sha256_file(files[0]) == sha256_file(files[1])
    with pytest.raises(OutputError, match="finished run"):
        fovea.pretrain(str(loose), out=str(tmp_path / "calm"), **options)
    run = fovea.train("shapes", out=str(tmp_path / "probe"), strategy="probe", weights=str(tmp_path / "calm"), image_size=32)
    assert run.metrics.backbone == "fovea_tiny"
    content = json.loads((tmp_path / "calm" / "metrics.json").read_text())
    assert (content["num_files"], content["validation"]) == ({"train": 60}, None)
    assert not (tmp_path / "calm" / "report.html").exists(), "no classifier was measured"


@pytest.mark.slow
def test_a_student_learns_what_its_teacher_answers(tmp_path: Path) -> None:
    teacher = fovea.train("digits", out=str(tmp_path / "teacher"), strategy="scratch", epochs=4)
    told = fovea.distill(str(teacher.path), "digits", out=str(tmp_path / "student"), image_size=32, epochs=4)
    assert told.agreement > 0.6, "chance is a tenth"
    student = load_bundle(tmp_path / "student" / "bundle")
    assert student.class_names == [str(digit) for digit in range(10)]
    assert student.info.strategy == "distill"
    content = json.loads((tmp_path / "student" / "metrics.json").read_text())
    assert (content["strategy"], content["test"]) == ("distill", None)
    assert content["agreement"] == {"n": told.num_watched, "share": told.agreement}
    assert fovea.evaluate(str(tmp_path / "student"), "digits").metrics["accuracy"] > 0.5


def test_bad_input_is_named(loose: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        fovea.distill(str(tmp_path / "nothing"), str(loose), out=str(tmp_path / "out"))
    for name, value in (("temperature", 0.0), ("lr", 0.0), ("batch_size", 1), ("epochs", 0), ("image_size", 8)):
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} cannot be"):
            fovea.pretrain(str(loose), out=str(tmp_path / "out"), **{name: value})
    with pytest.raises(InputError, match="--softness cannot be -1"):
        fovea.distill("teacher", str(loose), out=str(tmp_path / "out"), softness=-1.0)
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(loose / "1.png", few)
    with pytest.raises(DataError, match="too few pictures"):
        fovea.pretrain(str(few), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_teacher_is_asked_once_about_each_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fovea.embeddings.store import EmbeddingStore
    from fovea.training.augment import augmentation_of
    from fovea.training.teacher import Remembered, Taught

    class Asked:
        num_features, num_classes, size_px, times = 2, 3, 32, 0

        def answers(self, pictures):  # type: ignore[no-untyped-def]
            for pixels in pictures:
                self.times += len(pixels)
                yield np.tile(pixels.mean((1, 2, 3))[:, None] / 256, 5).astype(np.float32)

    with open_source("shapes", max_items=20, labelled=False) as source, EmbeddingStore(tmp_path / "store.sqlite") as store:
        kept = _weights_run.look(source, store, size_px=32, seed=0)
        views = kept.batches(kept.rows["train"], 32, batch_size=8, augmentation=augmentation_of("light"), seed=3)
        teacher = Asked()
        taught = Taught(views, teacher, 32)  # type: ignore[arg-type]
        monkeypatch.setattr("fovea.training.teacher._NOTE_S", 0.0)
        with monkeypatch.context() as patch:
            stopped_after(Taught, 2, patch)  # type: ignore[arg-type]  # a class does as well: its batches come one by one
            with pytest.raises(Stop), Remembered(taught, 2, folder=tmp_path, key="these"):
                pass
        assert json.loads((tmp_path / "views.json").read_text()) == {"key": "these", "batches": 2}
        teacher.times = 16
        with Remembered(taught, 2, folder=tmp_path, key="these") as shown:
            asked = teacher.times
            epochs = [list(shown.epoch(epoch)) for epoch in range(5)]
            assert teacher.times == asked == 2 * shown.num_examples
            for pixels, answers in (batch for epoch in epochs for batch in epoch):
                np.testing.assert_allclose(answers[:, 0], pixels.mean((1, 2, 3)) / 256, atol=1e-3)
            seen = [{pixels.tobytes() for batch, _ in epoch for pixels in batch} for epoch in epochs]
            assert seen[0] == seen[2] == seen[4]
            assert not seen[0] & seen[1], "another view of each"
            for (one, _), (other, _) in zip(epochs[1][1:], shown.epoch(1, 1), strict=True):
                assert (one == other).all(), "the same rest"
        assert not list(tmp_path.glob("views.*")), "they go with the block"
        (tmp_path / "views.json").write_text('{"key": "others", "batches": 2}')
        teacher.times = 0
        with Remembered(taught, 2, folder=tmp_path, key="these"):
            assert teacher.times == asked, "what was said of others is not taken"


@pytest.mark.parametrize(("before", "after", "learned"), [(19, 22, False), (19, 80, True), (0, 5, False)])
def test_weights_that_learned_nothing_say_so(before: int, after: int, learned: bool, tmp_path: Path) -> None:
    found = Pretrained(RunFolder(tmp_path), 1, 1000, 0.03, 1 / 127, (before, after, 512), 1.0)
    assert found.to_json()["learned"] == learned
    first = found.to_text().splitlines()[0]
    assert first.startswith("Nothing was learned, as far as can be told: ") == (not learned)
    assert f"{after} of 512 pictures are nearest to their own other view, against {before}" in first


def test_twins_are_counted_by_what_a_network_sees() -> None:
    class Views:
        def epoch(self, epoch: int) -> Iterator[tuple[Floats, Ints]]:
            rng = np.random.default_rng(epoch)
            for _ in range(3):
                first = rng.normal(size=(16, 5)).astype(np.float32)
                yield np.concatenate([first, first + 0.01]), np.roll(np.arange(32), 16)

    assert twins_found(nn.Identity(), Views()) == (48, 48)  # type: ignore[arg-type]
    assert twins_found(nn.Identity(), Views(), batches=1) == (16, 16)  # type: ignore[arg-type]
    blind = nn.Linear(5, 5)
    nn.init.zeros_(blind.weight)
    assert twins_found(blind, Views())[0] <= 3  # type: ignore[arg-type]
    assert blind.training
