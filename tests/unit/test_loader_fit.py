"""The loop: stopped at any batch and taken up again it comes to the same weights; what is measured is never augmented."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.stopped import Stop, stopped_after
from torch import nn

from fovea.data import decode
from fovea.errors import InputError, TrainingFailed, UnknownName
from fovea.loading.batches import ArrayBatches
from fovea.training import loop
from fovea.training import state as state_module
from fovea.training.augment import augmentation_of, choose_augment
from fovea.training.checkpoint import LAST
from fovea.training.loop import fit
from fovea.training.method import Method, Stopping
from fovea.transforms.preprocessing import square

METHOD = Method(epochs=4, lr=0.01, seed=5, stop=Stopping(patience=9))


def made() -> tuple[nn.Module, ArrayBatches, ArrayBatches]:
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(60, 6)).astype(np.float32), rng.integers(0, 3, 60)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    train = ArrayBatches(inputs, targets, np.arange(44), batch_size=8, shuffle=True, seed=5)
    return model, train, ArrayBatches(inputs, targets, np.arange(44, 60), batch_size=8)


@pytest.mark.parametrize("num_batches", [0, 1, 5, 6, 7, 14, 17])
def test_killed_at_any_batch_and_taken_up_it_is_the_same(tmp_path, monkeypatch, num_batches):
    """Dropout draws from chance, too, so that its state must come back as well."""
    monkeypatch.setattr(loop, "_SAVE_S", 0.0)  # after each batch
    model, train, validation = made()
    whole = fit(model, train, validation, method=METHOD)
    parted, train, validation = made()
    stopped_after(train, num_batches, monkeypatch)
    with pytest.raises(Stop):
        fit(parted, train, validation, method=METHOD, checkpoint=tmp_path)
    parted, train, validation = made()
    asked = []
    epoch = train.epoch
    monkeypatch.setattr(train, "epoch", lambda *arguments: asked.append(arguments) or epoch(*arguments))
    rest = fit(parted, train, validation, method=METHOD, checkpoint=tmp_path)
    assert asked[0] == divmod(num_batches, 6), "it goes on at the batch where it stopped"
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, parted.state_dict()[name]), name
    assert [(row.split, row.loss, row.accuracy) for row in rest] == [(row.split, row.loss, row.accuracy) for row in whole]


def test_short_epochs_write_one_checkpoint_each(tmp_path, monkeypatch):
    written = []
    save = state_module.save_checkpoint
    monkeypatch.setattr(state_module, "save_checkpoint", lambda path, **content: written.append(path.name) or save(path, **content))
    fit(*made(), method=METHOD, checkpoint=tmp_path)
    assert written == [LAST] * 4


def test_chance_is_left_as_it_was_found(tmp_path):
    before = torch.get_rng_state()
    model, train, validation = made()
    fit(model, train, validation, method=METHOD)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_key_begins_anew(tmp_path):
    fit(*made(), method=METHOD, checkpoint=tmp_path, key="a")
    model, train, validation = made()
    begun = [p.detach().clone() for p in model.parameters()]
    seen = []
    fit(
        model, train, validation, method=METHOD, checkpoint=tmp_path, key="b", watchers=[lambda network, history: seen.append(len(history))]
    )
    assert seen == [2, 4, 6, 8]
    assert not all(torch.equal(a, b) for a, b in zip(begun, model.parameters(), strict=True))


# ---- which augmentation


def choose(asked: str, **options: object) -> tuple[str, list[str]]:
    notes: list[str] = []
    chosen = {"strategy": "scratch", "augments": True, "size_px": 180} | options
    return choose_augment(asked, notes=notes, **chosen), notes  # type: ignore[arg-type]


def test_auto_is_light_for_photos_and_none_for_characters_and_says_so():
    preset, (note,) = choose("auto")
    assert preset == "light"
    assert "flipped, turned and zoomed" in note
    preset, (note,) = choose("auto", size_px=28)
    assert preset == "none"
    assert "characters" in note
    assert choose("auto", augments=False) == ("none", [])
    assert choose("strong") == ("strong", [])
    assert choose("none", augments=False) == ("none", [])


def test_what_becomes_part_of_the_network_is_said():
    preset, (note,) = choose("tiny_imagenet")
    assert preset == "tiny_imagenet"
    assert note == "--augment tiny_imagenet: the network takes each picture's own mean away, in training and wherever it is used"


@pytest.mark.slow
def test_a_centred_network_is_shipped_and_taken_up_as_such(photos: Path, tmp_path):
    """Brighter pictures get the same answer, from the bundle and from what is learned on its weights."""
    import fovea

    first = fovea.train(str(photos), out=str(tmp_path / "a"), strategy="scratch", image_size=28, epochs=2, augment="tiny_imagenet")
    second = fovea.train(str(photos), out=str(tmp_path / "b"), strategy="probe", backbone="convnet", weights=str(first.path))
    plain = fovea.train(str(photos), out=str(tmp_path / "c"), strategy="scratch", image_size=28, epochs=2, augment="none")
    pixels = np.random.default_rng(0).integers(20, 200, (2, 28, 28, 3), dtype=np.uint8)
    for run, same in ((first, True), (second, True), (plain, False)):
        outputs = fovea.load_bundle(run.path).outputs
        assert np.allclose(outputs(pixels)["embedding"], outputs(pixels + 30)["embedding"], atol=1e-4) == same


def test_how_mixed_pictures_are_counted_is_said():
    preset, (note,) = choose("standard+mixup+cutmix")
    assert preset == "standard+mixup+cutmix"
    assert note.startswith("--augment standard+mixup+cutmix: mixup or cutmix blends the pictures of each batch")
    assert "right is the class with the largest share" in note
    augmentation = augmentation_of("none+cutmix")
    assert augmentation is not None
    assert augmentation.describe() == ["cutmix(chance=1, alpha=1)"]


def test_shares_of_classes_can_be_learned(tmp_path):
    """A batch whose targets are shares counts the largest as right."""
    model, train, validation = made()

    class Shares(ArrayBatches):
        def epoch(self, epoch, start_batch=0):
            for inputs, targets in super().epoch(epoch, start_batch):
                yield inputs, (0.9 * np.eye(3) + 0.1 / 3)[targets].astype(np.float32)

    shares = Shares(train.inputs, train.targets, train.rows, batch_size=8, shuffle=True, seed=5)
    history = fit(model, shares, validation, method=METHOD)
    assert history[-2].loss < history[0].loss
    assert 0 <= history[-2].accuracy <= 1


def test_augmentation_that_cannot_be():
    with pytest.raises(InputError, match="--augment light cannot be used with the strategy probe") as caught:
        choose("light", strategy="probe", augments=False)
    assert "--strategy scratch" in caught.value.fix
    with pytest.raises(UnknownName, match="'ligt'"):
        choose("ligt")
    with pytest.raises(UnknownName, match="no mix is called 'cutmi'"):
        choose("light+cutmi")
    assert augmentation_of("none") is None


# ---- only training is augmented


@pytest.fixture
def seen_by_the_network(monkeypatch):
    """Every batch that reaches the network, as the floats that it works with, with whether it was learning."""
    from fovea.models.network import PixelBackbone

    seen = []
    normalise = PixelBackbone.normalise

    def noted(self, pixels):
        floats = normalise(self, pixels)
        if not torch.compiler.is_exporting():
            seen.append((self, self.training, floats.detach().permute(0, 2, 3, 1).contiguous().numpy()))
        return floats

    monkeypatch.setattr(PixelBackbone, "normalise", noted)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["light", "none+cutmix", "tiny_imagenet"])
def test_only_training_is_augmented(photos: Path, tmp_path, seen_by_the_network, augment):
    """From the front door: what the network sees while it is measured is byte for byte what the bundle's preprocessing gives."""
    import fovea

    run = fovea.train(str(photos), out=str(tmp_path / "run"), strategy="scratch", image_size=28, epochs=2, augment=augment)
    batches = [(training, batch) for _, training, batch in seen_by_the_network]
    body = seen_by_the_network[0][0]
    exact = set()
    for path in sorted(photos.rglob("*.png")):
        pixels = square(28).apply(decode(path.read_bytes(), path=path.name, min_side_px=28).pixels)
        exact.add(body.normalise(torch.from_numpy(pixels[None]))[0].permute(1, 2, 0).contiguous().numpy().tobytes())
    measured = [picture.tobytes() for training, batch in batches if not training for picture in batch]
    black = body.normalise(torch.zeros(1, 28, 28, 3, dtype=torch.uint8))[0].permute(1, 2, 0).contiguous().numpy().tobytes()
    # without the black ones that memory is measured with
    learned_from = [seen for training, batch in batches if training for picture in batch if (seen := picture.tobytes()) != black]
    num_train, num_validation = run.metrics.num_files["train"], run.metrics.num_files["validation"]
    assert len(exact) == 240
    assert len(learned_from) == 2 * num_train
    # torch measures after each epoch, and a few pictures in the comparison with the engine, which answers for all in the end: below, by its bundle
    assert len(measured) >= 2 * num_validation
    assert set(measured) - {bytes(28 * 28 * 3 * 4)} <= exact  # but for the nothing that the exporter traces the network with
    assert len(set(learned_from) & exact) < 0.05 * len(learned_from)
    assert len(set(learned_from)) > 1.9 * num_train, "each epoch draws anew"
    bundle = fovea.load_bundle(run.bundle)
    for line in (run.path / "predictions.csv").read_text().splitlines()[1:8]:
        path, _, _, predicted, probability = line.split(",")
        answer = bundle.predict_bytes((photos / path).read_bytes())
        assert (answer.class_name, answer.probability) == (predicted, pytest.approx(float(probability), abs=1e-4))


def test_a_picture_that_changes_while_it_learns_is_named(photos: Path, tmp_path, monkeypatch):
    import shutil

    import fovea
    from fovea.training import end_to_end

    data = Path(shutil.copytree(photos, tmp_path / "data"))
    monkeypatch.setenv("FOVEA_CACHE", str(tmp_path / "cache"))  # where nothing is kept at a margin yet

    def spoilt(*arguments: object, **options: object) -> object:
        for path in (data / "disc").iterdir():
            path.write_bytes(b"changed")
        return loop.fit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(end_to_end, "fit", spoilt)
    options = {"out": str(tmp_path / "run"), "strategy": "scratch", "image_size": 28, "epochs": 2}
    with pytest.raises(TrainingFailed, match=r"a picture changed while the network was learning: 'disc/disc\d+.png' has changed"):
        fovea.train(str(data), augment="light", **options)
    assert (tmp_path / "run" / "checkpoint" / "settings.json").exists(), "the run can be taken up when the files are back"


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["light", "standard+mixup+cutmix"])
def test_an_augmented_run_resumes_to_the_same_network(photos: Path, tmp_path, monkeypatch, augment):
    import fovea

    options = {"strategy": "scratch", "image_size": 28, "epochs": 3, "augment": augment}
    whole = fovea.train(str(photos), out=str(tmp_path / "whole"), **options)
    monkeypatch.setattr(loop, "_SAVE_S", 0.0)
    save, count = state_module.save_checkpoint, []

    def killed(path: Path, **content: object) -> None:
        save(path, **content)  # type: ignore[arg-type]
        count.append(1)
        if len(count) == 8:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(state_module, "save_checkpoint", killed)
        with pytest.raises(RuntimeError, match="killed"):
            fovea.train(str(photos), out=str(tmp_path / "parts"), **options)
    parts = fovea.train(str(photos), out=str(tmp_path / "parts"), **options)
    assert (whole.bundle / "model.onnx").read_bytes() == (parts.bundle / "model.onnx").read_bytes()
