"""The same classes, another user: a trained head learns from a few new pictures, and does not forget the old ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fovea.audit.survey import Survey, survey
from fovea.bundle.archive import read_files
from fovea.bundle.format import Calibration, TrainingData
from fovea.data import Source, open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.engines.to_onnx import read_head
from fovea.errors import InputError, OutputError
from fovea.evaluation.answers import Answering, fit_answering
from fovea.evaluation.calibrate import calibrated
from fovea.export.bundles import Trained, write_bundle
from fovea.files import check_outside, ready_folder, write_json
from fovea.metrics.classification import negative_log_likelihood
from fovea.metrics.intervals import wilson
from fovea.models.heads.linear import LinearHead
from fovea.progress import say
from fovea.recipes._reporting import some_pictures
from fovea.selection.choose import choose
from fovea.tasks import create_task
from fovea.timing import Stopwatch
from fovea.training.logistic import deal, fit_near
from fovea.training.run import load_settings
from fovea.training.settings import TrainSettings, checked
from fovea.training.standardise import Standardised
from fovea.training.strategies.probe import Probe
from fovea.types import Floats, Ints

_STRENGTHS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # 0: nothing moves
_NUM_FOLDS = 5


@dataclass(frozen=True)
class Measured:
    """How many of some pictures were right, before and after."""

    what: str
    n: int
    before: int
    after: int

    def to_json(self) -> dict[str, Any]:
        shares = {
            name: {"accuracy": right / self.n, "accuracy_ci95": list(wilson(right, self.n))}
            for name, right in (("before", self.before), ("after", self.after))
        }
        return {"what": self.what, "n": self.n, **shares}

    def to_text(self) -> str:
        (low, high), (lower, higher) = wilson(self.before, self.n), wilson(self.after, self.n)
        return (
            f"{self.what} ({self.n:,} pictures): right on {self.before / self.n:.1%} before ({low:.1%} to {high:.1%}), "
            f"{self.after / self.n:.1%} after ({lower:.1%} to {higher:.1%})"
        )


@dataclass(frozen=True)
class Adapted:
    """What came of it."""

    bundle: Path
    strength: float
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "bundle": str(self.bundle),
            "strength": self.strength,
            "measured": [each.to_json() for each in self.measured],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        return "\n".join([*(each.to_text() for each in self.measured), *self.notes, f"bundle: {self.bundle}"])


def adapt(
    run: str, data: str, *, out: str, before: str | None = None, most_forgotten: float = 0.01, seed: int = 0, overwrite: bool = False
) -> Adapted:
    """Let a trained model learn from a few pictures of another user, place or camera, without forgetting the old ones.

    The classes stay the same. The head is pulled towards what it knows; how far it may move is chosen by cross-validation on the
    new pictures, among those ways that keep what the old validation pictures ask.

    Args:
        run: The folder of a finished run with a linear head, of any strategy.
        data: The new pictures: as for `fovea train`, with the same classes.
        out: The folder to write: bundle/ and adaptation.json.
        before: Where the run's own pictures lie, if no longer where they were.
        most_forgotten: How much accuracy on the old validation pictures may be lost, 0.01 is one in a hundred.
        seed: Of the splits of small data, and of the folds.
        overwrite: Replace an earlier adaptation in `out`.

    Returns:
        The new bundle, and how right it is on new and old pictures, before and after.
    """
    if not 0 <= most_forgotten <= 1:  # neither does what is no number
        raise InputError(
            "--most-forgotten is no share",
            got=str(most_forgotten),
            expected="0 to 1; 0.01 is one picture in a hundred",
            fix="leave it out for 0.01",
        )
    old = load_settings(run)
    weight, bias, names = _head_of(run)
    folder = ready_folder(out)
    if any(folder.iterdir()) and not overwrite:
        raise OutputError(
            f"{out!r} is not empty", got="other files", expected="a new or empty folder", fix="choose another --out, or add --overwrite"
        )
    settings = checked(data=str(data), strategy="probe", weights=str(run), image_size=old.image_size, engine=old.engine, seed=seed)
    with open_source(data, seed=seed) as source, EmbeddingStore() as store:
        check_outside(out, source.location)
        _check_same_classes(source, names, run)
        plan = choose(settings, source)
        learner = Probe(plan)
        new = _Pictures(survey(source, learner, store, seed=seed, watch=Stopwatch()), source)
        kept, notes = _old_pictures(before or old.data, old, names, learner, store, moved=before is not None)
        goal = create_task(plan.task, source.class_names)
        scale = Standardised(kept.vectors("train") if kept else new.vectors("train"))
        strength, told = _choose(new, kept, weight, bias, scale, most_forgotten, seed)
        found = (
            fit_near(new.vectors("train"), new.targets("train"), weight, bias, strength=strength, scale=scale)
            if strength
            else (weight, bias)
        )
        measured = [Measured("new validation pictures", *_right(new, "validation", (weight, bias), found))]
        if kept:
            measured.append(Measured("old validation pictures", *_right(kept, "validation", (weight, bias), found)))
            measured.append(Measured("old test pictures", *_right(kept, "test", (weight, bias), found)))
        measured.append(Measured("new test pictures", *_right(new, "test", (weight, bias), found)))
        judged = [pictures for pictures in (new, kept) if pictures]
        answering = _answering(judged, found, old, seed)
        plan.network.head = LinearHead.from_arrays(*found)
        result = Adapted(folder / "bundle", strength, tuple(each for each in measured if each.n), (*told, *notes))
        write_bundle(
            result.bundle,
            Trained(plan.network, learner.embedder.onnx, plan.backbone_name, answering, plan.preprocessing, goal, plan.licences),
            pictures=some_pictures(source, [new.seen.items[i] for i in new.seen.rows["train"]], plan.preprocessing),
            strategy="adapt",
            training_data=TrainingData(hash=new.seen.data_hash, num_files=len(new.seen.rows["train"])),
            metrics={each.what: each.to_json() for each in result.measured},
            private=old.private,
        )
    write_json(folder / "adaptation.json", result.to_json())
    return result


@dataclass(frozen=True)
class _Pictures:
    """Surveyed pictures as embeddings and targets."""

    seen: Survey
    source: Source

    def vectors(self, split: str) -> Floats:
        return np.asarray(self.seen.inputs, np.float32)[self.rows(split)]

    def targets(self, split: str) -> Ints:
        labels = self.seen.labels
        return np.array([self.source.class_names.index(labels[i]) for i in self.rows(split)], np.int64)

    def rows(self, split: str) -> Ints:
        return self.seen.rows[split]  # type: ignore[index]


def _head_of(run: str) -> tuple[Floats, Floats, tuple[str, ...]]:
    """The dense layer of a run's bundle, and the names of its classes."""
    from fovea.bundle import load_bundle

    if (task := load_bundle(run).task).activation != "softmax":
        raise InputError(
            f"{run!r} is no classifier, and only the head of one can be adapted",
            got=f"the task {task.name}",
            expected="a run that tells classes apart",
            fix="train on old and new pictures together: fovea train DATA --weights RUN",
        )
    layers = read_head(read_files(Path(run) / "bundle")["model.onnx"])
    if len(layers) != 1:
        raise InputError(
            f"the head of {run!r} cannot be adapted",
            got=f"{len(layers)} dense layers",
            expected="one, as the head linear has it",
            fix="train with --head linear",
        )
    return *layers[0], tuple(load_bundle(run).class_names)


def _check_same_classes(source: Source, names: tuple[str, ...], run: str) -> None:
    if tuple(source.class_names) != names:
        raise InputError(
            f"the new pictures have other classes than {run!r}",
            got=", ".join(source.class_names[:8]),
            expected=", ".join(names[:8]),
            fix="name the folders alike, or train anew: fovea train DATA --weights RUN",
        )


def _old_pictures(
    data: str, old: TrainSettings, names: tuple[str, ...], learner: Probe, store: EmbeddingStore, *, moved: bool
) -> tuple[_Pictures | None, tuple[str, ...]]:
    """The pictures that the run learned from, whose embeddings are mostly in the store; None where they are gone."""
    try:
        with open_source(data, seed=old.seed) as source:
            _check_same_classes(source, names, "the run")
            say("looking at the old pictures")
            # as the run divided them: else what it learned from would stand in validation
            seen = survey(source, learner, store, seed=old.seed, watch=Stopwatch(), split_by=old.split_by, keep_leaks=old.keep_leaks)
            return _Pictures(seen, source), ()
    except InputError:
        if moved:
            raise
        return None, ("The old pictures are not at hand any more, so that nothing says what was forgotten: name them with --before.",)


def _answering(judged: list[_Pictures], head: tuple[Floats, Floats], old: TrainSettings, seed: int) -> Answering:
    """Calibration, sets and refusal for the pictures of both users."""
    splits = [(each, split) for split in ("train", "validation") for each in judged]
    vectors = np.concatenate([each.vectors(split) for each, split in splits])
    num_train = sum(len(each.rows("train")) for each in judged)
    return fit_answering(
        create_task("classification", tuple(judged[0].source.class_names)),
        (vectors @ head[0].T + head[1]).astype(np.float32),
        vectors,
        np.concatenate([each.targets(split) for each, split in splits]),
        np.concatenate([_numbered(each.seen.groups[each.rows(split)], number) for number, (each, split) in enumerate(splits)]),
        train=np.arange(num_train),
        validation=np.arange(num_train, len(vectors)),
        coverage=old.coverage,
        false_refusal=old.false_refusal,
        seed=seed,
    )


def _numbered(groups: Ints, user: int) -> Ints:
    """Numbers of groups that no other user's have."""
    return groups + user * (1 << 32)


def _choose(
    new: _Pictures, kept: _Pictures | None, weight: Floats, bias: Floats, scale: Standardised, most_forgotten: float, seed: int
) -> tuple[float, list[str]]:
    """The strength with the lowest loss on held-out new pictures, of those that do not forget too much."""
    inputs, targets, groups = new.vectors("train"), new.targets("train"), new.seen.groups[new.rows("train")]
    num_folds = min(_NUM_FOLDS, *(len(np.unique(groups[targets == target])) for target in np.unique(targets)))
    if num_folds < 2:
        raise InputError(
            "a class has too few new pictures to learn from",
            got="a single one, or copies of a single one",
            expected="two or more of each class to learn from, ten or more to be sure",
            fix="add a few pictures",
        )
    folds = deal(targets, groups, num_folds=num_folds, seed=seed)
    losses: dict[float, float] = {}
    forgotten: dict[float, float] = {}
    for strength in _STRENGTHS:
        held = []
        for fold in range(num_folds):
            mine, others = folds == fold, folds != fold
            w, b = fit_near(inputs[others], targets[others], weight, bias, strength=strength, scale=scale) if strength else (weight, bias)
            held.append(negative_log_likelihood(calibrated(inputs[mine] @ w.T + b, Calibration()), targets[mine]))
        losses[strength] = float(np.mean(held))
        if kept and len(kept.rows("validation")):
            w, b = fit_near(inputs, targets, weight, bias, strength=strength, scale=scale) if strength else (weight, bias)
            n, before, after = _right(kept, "validation", (weight, bias), (w, b))
            forgotten[strength] = (before - after) / n
    allowed = [strength for strength in _STRENGTHS if forgotten.get(strength, 0.0) <= most_forgotten]
    best = min(allowed, key=losses.__getitem__)
    free = min(_STRENGTHS, key=losses.__getitem__)
    told = [
        f"C = {best:g} had the lowest loss ({losses[best]:.3f}; {losses[0.0]:.3f} without learning) on new pictures that were held out, in {num_folds} folds"
        + ("." if best == free else f", of those that forget at most {most_forgotten:.1%}; C = {free:g} would have {losses[free]:.3f}.")
    ]
    if not best:
        told.append(
            "Nothing was learned from the new pictures: no step helped them without forgetting more of the old ones than is allowed. More new pictures, or a larger --most-forgotten, may change that."
        )
    return best, told


def _right(pictures: _Pictures, split: str, before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> tuple[int, int, int]:
    """How many pictures of a split there are, and how many each head has right."""
    vectors, targets = pictures.vectors(split), pictures.targets(split)
    first, second = (
        int(((vectors @ weight.T + bias).argmax(axis=1) == targets).sum()) if len(targets) else 0 for weight, bias in (before, after)
    )
    return len(targets), first, second
