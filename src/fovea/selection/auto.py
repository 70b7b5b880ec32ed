"""`--strategy auto`: backbone, depth, head and strategy, chosen by cross-validation on the training pictures alone, within a budget of time.

What the embedding store makes nearly free comes first: nearest neighbours, then a probe, for each backbone at hand and for
several depths of each. What must learn in epochs is tried on some folds, and only while what it may gain is worth its time. Of
ways that cannot be told apart, by one standard error of their paired difference, the simplest is taken (the rule of Breiman
et al., "Classification and Regression Trees", 1984, section 3.4.3). Validation and test pictures are not looked at.
What learns in epochs is tried with three folds of five, since one says when to stop, and a probe with four: that favours probes a little.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fovea.data import Source
from fovea.embeddings.embedder import TURN
from fovea.embeddings.extract import embed
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import FoveaError, InputError
from fovea.files import hash_json, write_json
from fovea.loading.parallel import num_threads
from fovea.loading.stored import Inputs
from fovea.metrics.classification import negative_log_likelihood
from fovea.metrics.intervals import wilson
from fovea.models.weights import candidates
from fovea.progress import say
from fovea.selection.choose import choose
from fovea.selection.depths import Depths
from fovea.selection.ways import NUM_NEIGHBOURS, Way, neighbours, taken
from fovea.timing import in_words, seconds_of
from fovea.training.logistic import deal, out_of_fold
from fovea.training.method import Method
from fovea.training.settings import TrainSettings
from fovea.training.strategy import Learned, Looked, Plan, Strategy, create_strategy, uses
from fovea.types import Floats, Ints, Item, TargetArray

CHOICE = "choice.json"  # in the checkpoint's folder: what was chosen, so that a resumed run goes on with it
_BUDGET_S = 300.0
_NUM_FOLDS, _FEWEST_FOLDS = 5, 2
_MOST_COMPARED = 5_000  # training pictures that the ways are compared on
_MOST_PROBED = 3  # depths and backbones, best by their neighbours, that a probe is made of
_MUCH = 50  # pictures a class: below, the texts' cases speak of little data
_TELLS_DEPTHS = 20  # pictures a class: of fewer, an early map that serves best does so by luck (LOG.md)
# How many of a probe's errors learning further takes away, by the four cases of the texts (similar or not, little data or much): the
# order is theirs, the sizes are what we saw on cats and dogs and on Tiny-ImageNet (LOG.md).
_ERRORS_GONE = {(True, False): 0.05, (True, True): 0.25, (False, False): 0.1, (False, True): 0.5}
_TIMED = 16  # pictures in a step that is timed
_SLACK = 1.3  # trainings take longer than their steps: pictures are loaded, watched and answered


class Auto(Strategy):
    """Looks with every backbone at hand that the budget has time for, compares, and learns as the one that it chose.

    Args:
        settings: With strategy "auto".
        source: The data, open for as long as this is used.
        plan: A probe, with the backbone that "auto" prefers.
        log: A folder for TensorBoard; what is only tried writes none.
    """

    def __init__(self, settings: TrainSettings, source: Source, plan: Plan, log: Path | None = None) -> None:
        self.started_s = time.monotonic()
        self.settings, self.source, self.log = settings, source, log
        self.budget_s = seconds_of(settings.budget, "--budget") if settings.budget else _BUDGET_S
        self.plan = plan
        self.begun = tuple(note for note in plan.notes if note.startswith("backbone "))  # which was at hand, and why
        self.plans = {self.plan.backbone_name: self.plan}
        if settings.backbone == "auto" and settings.weights == "auto":
            for name in candidates():
                if name not in self.plans:
                    self.plans[name] = self._plan(strategy="probe", backbone=name)
        self.vectors: dict[tuple[str, int | None], Floats] = {}
        self.seen: dict[str, Any] = {}
        self.ways: list[Way] = []
        self.said: list[str] = []

    def _plan(self, **asked: Any) -> Plan:
        return choose(self.settings.model_copy(update={"budget": None, **asked}), self.source)

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget_s - (time.monotonic() - self.started_s)

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started = time.perf_counter()
        self.seen = {"source": source, "items": items, "hashes": hashes, "store": store}
        needed_s = self._looking_s(hashes, store)
        told = f"auto: at most {in_words(self.budget_s)} to choose how to learn"
        if needed_s >= 1:
            told += f", {in_words(needed_s)} or more of it to look at {len(items):,} pictures"
        say(f"{told}; at hand: {', '.join(self.plans)}")
        looks: list[Looked] = []
        for name, plan in self.plans.items():
            began = time.perf_counter()
            if looks and looks[0].embed_s > self.left_s / 3:
                self.said.append(f"{name} was not looked with: the budget of {in_words(self.budget_s)} has no time for it")
                continue
            depths = Depths(plan.network.body)
            plain = plan.embedder()
            embedder = replace(plain, body=depths, weights_hash=hash_json([plain.weights_hash, "depths"])) if depths.stages else plain
            found = embed(source, items, hashes, embedder=embedder, store=store)
            for stage, vectors in depths.apart(found.vectors).items():
                self.vectors[name, stage] = vectors
            if depths.stages and found.num_from_store < len(hashes):  # a later probe finds them
                store.put(
                    plain.space, {content: self.vectors[name, None][i] for i, content in enumerate(hashes) if content in found.facts}, {}
                )
            took_s = time.perf_counter() - began
            looks.append(Looked(found.vectors, found.facts, found.problems, embed_s=took_s, num_from_store=found.num_from_store))
        return replace(looks[0], embed_s=time.perf_counter() - started)

    def _looking_s(self, hashes: Sequence[str], store: EmbeddingStore) -> float:
        """The seconds that one look with the first backbone takes at the least, from two turns of noise: without decoding, all cores at work.

        Raises:
            InputError: The budget is smaller than even that.
        """
        plain = self.plan.embedder()
        new = len({*filter(None, hashes)} - store.get(plain.space, [content for content in hashes if content]).keys())
        if not new:
            return 0.0
        size, took = self.plan.preprocessing.size_px, []
        noise = np.random.default_rng(0).integers(0, 256, (TURN, size, size, 3), np.uint8)
        for _ in range(2):
            began = time.perf_counter()
            plain.engine(noise, ("embedding",))
            took.append(time.perf_counter() - began)
        needed_s = min(took) / TURN * new / num_threads()
        if needed_s > self.budget_s:
            raise InputError(
                f"--budget {self.settings.budget} is too small for anything",
                got=f"{self.budget_s:g} s, where one look at {new:,} new pictures with {self.plan.backbone_name} takes {needed_s:.2g} s or more",
                expected=f"about {in_words(max(1.0, 3 * needed_s))} at least",
                fix="give more time, or leave --budget out (5 minutes); --strategy probe does nothing but look and learn",
            )
        return needed_s

    def learn(
        self, inputs: Inputs, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str
    ) -> Learned:
        place = checkpoint / CHOICE
        choice = _read(place, key)
        if choice is None:
            chosen = self._compare(targets.astype(np.int64, copy=False), groups, train, key)
            choice = {"key": key, "chosen": chosen.to_json(), "ways": [way.to_json() for way in self.ways], "said": self.said}
            write_json(place, choice)
        kept = choice["chosen"]
        say(f"auto: {choice['said'][-1]}")
        self.plan = self._plan(strategy=kept["strategy"], backbone=kept["backbone"], head=kept["head"])
        notes = tuple(dict.fromkeys([*self.begun, *self.plan.notes]))
        self.plan = replace(self.plan, notes=notes, log=self.log if uses(kept["strategy"], "tensorboard") else None)
        learner, own = self._ready(self.plan)
        learned = learner.learn(own, targets, groups, train=train, validation=validation, checkpoint=checkpoint, key=key)
        return replace(learned, notes=(*choice["said"], *learned.notes), tried=choice["ways"])

    def _ready(self, plan: Plan) -> tuple[Strategy, Inputs]:
        """A strategy that has looked at the pictures; what the embedding and the pixel store keep is not computed again."""
        learner = create_strategy(plan)
        return learner, learner.look(**self.seen).inputs

    def _compare(self, targets: Ints, groups: Ints, train: Ints, key: str) -> Way:
        """The way to take. Only rows of train are looked at."""
        seed, head = self.settings.seed, self.settings.head
        train = _some(train, targets, seed)
        own, together = targets[train], groups[train]
        most = min(len(np.unique(together[own == target])) for target in np.unique(own))
        first = Way(f"a probe of {self.plan.backbone_name}", "probe", self._called(self.plan.backbone_name, None), head)
        if most < _FEWEST_FOLDS:
            first.verdict = "taken: a class has a single training picture or group, so nothing could be compared"
            self.ways.append(first)
            self.said.append(f"chosen: {first.name}, since a class has a single training picture or group, and nothing could be compared")
            return first
        folds = deal(own, together, num_folds=min(_NUM_FOLDS, most), seed=seed)

        # The neighbours of each picture tell in a second which backbones and depths are worth a probe.
        began = time.perf_counter()
        named = {place: neighbours(vectors[train], own, together) for place, vectors in self.vectors.items()}
        near = {place: float(right.mean()) for place, right in named.items()}
        best_near = max(near, key=lambda place: near[place])
        beside = Way(
            f"the {min(NUM_NEIGHBOURS, len(own) - 1)} nearest neighbours by {_place(best_near)}", "neighbours", self._called(*best_near), "none",
            rows=np.arange(len(own)), right=named[best_near], seconds=time.perf_counter() - began,
        )  # fmt: skip
        last = [place for place in near if place[1] is None]
        early = sorted((place for place in near if place[1] is not None), key=lambda place: -near[place])
        if len(own) / len(np.unique(own)) < _TELLS_DEPTHS:
            early = []
        probes = []
        for place in [*last, *early[: max(0, _MOST_PROBED - len(last))]]:
            probes.append(self._probe(place, train, own, folds))
            if self.left_s < 2 * probes[-1].seconds:
                break
        best = taken(probes)
        similar = "stage=" not in max(probes, key=lambda way: way.accuracy).backbone
        much = len(own) / len(np.unique(own)) >= _MUCH
        commonest = float(np.bincount(own).max() / len(own))
        confidence = 1 - 0.05 / len(probes)  # the best of several is often above chance by luck (Bonferroni)
        if all(wilson(int(way.right.sum()), len(own), confidence=confidence)[0] <= commonest for way in probes):
            self.said.append(
                f"no probe was shown to be right more often than always naming the commonest class would be ({commonest:.1%}): what the backbones see "
                "does not tell these classes apart, or the labels are wrong"
            )
        else:
            self.said.append(
                f"the pictures seem {'similar to' if similar else 'unlike'} those that the backbone knows (its {'last' if similar else 'earlier'} layers "
                f"served best), and there are {'many' if much else 'few'} of them ({len(own) / len(np.unique(own)):.0f} a class)"
            )
        ways = list(probes)
        for strategy, other in (("probe", "mlp"), ("frozen", head), ("finetune", head)):
            ways.append(self._epochs(strategy, other, best, train, targets, groups, folds, _ERRORS_GONE[similar, much], key))
        chosen = taken([way for way in ways if len(way.right)])
        self.ways += ways
        self._explain(chosen)
        apart, unsure = beside.better_than(chosen)
        beside.verdict = (
            f"{apart:+.1%} against what was taken (chance: {unsure:.1%}); it was asked which backbone and depth are worth a probe, and cannot be taken: it "
            "would have to carry a vector of every training picture, and gives no percentages"
        )
        self.ways.insert(0, beside)
        return chosen

    def _called(self, backbone: str, stage: int | None) -> str:
        """As `--backbone` takes it."""
        asked = self.settings.backbone if self.settings.backbone != "auto" else backbone
        return asked if stage is None else f"{asked}:stage={stage}"

    def _probe(self, place: tuple[str, int | None], train: Ints, own: Ints, folds: Ints) -> Way:
        name, stage = place
        began = time.perf_counter()
        probabilities, _ = out_of_fold(self.vectors[place][train], own, folds, num_classes=int(own.max()) + 1)
        return Way(
            f"a probe of {_place(place)}", "probe", self._called(name, stage), self.settings.head,
            rows=np.arange(len(own)), right=probabilities.argmax(1) == own, loss=negative_log_likelihood(probabilities, own),
            seconds=time.perf_counter() - began,
        )  # fmt: skip

    def _epochs(
        self, strategy: str, head: str, before: Way, train: Ints, targets: Ints, groups: Ints, folds: Ints, errors_gone: float, key: str
    ) -> Way:  # fmt: skip
        """A way that learns in epochs, tried on as many folds as there is time for, if what it may gain is worth it."""
        way = Way(
            f"{_WORDS.get((strategy, head), strategy)} from {before.name.removeprefix('a probe of ')}",
            strategy,
            before.backbone,
            head,
        )
        wrong = 1 - before.accuracy
        gain, unsure = errors_gone * _PART[strategy] * wrong, (wrong * before.accuracy / len(before.right)) ** 0.5
        if gain <= unsure:
            way.verdict = f"not tried: it may gain about {gain:.1%}, which could not be told from chance ({unsure:.1%} on {len(before.right):,} pictures)"
            return way
        plan = self._plan(strategy=strategy, backbone=before.backbone, head=head)
        once = _SLACK * _cost_s(plan, len(train), head)
        num_folds = min(int(folds.max()) + 1, int((self.left_s - once) / once))
        if num_folds < _FEWEST_FOLDS:
            way.verdict = (
                f"not tried: one training takes about {in_words(once)}, it would take {_FEWEST_FOLDS} to see whether it is better and one more to use it, and "
                f"{in_words(max(0.0, self.left_s))} of the budget were left; give a larger --budget"
            )
            return way
        say(f"auto: trying {way.name}, about {in_words(once * num_folds)}")
        began, rows, right, losses = time.perf_counter(), [], [], []
        total = int(folds.max()) + 1
        for fold in range(num_folds):
            if fold >= _FEWEST_FOLDS and self.left_s < 2 * (time.perf_counter() - began) / fold:
                break  # slower than was thought
            held_out, watched = np.flatnonzero(folds == fold), np.flatnonzero(folds == (fold + 1) % total)
            learned_from = np.flatnonzero((folds != fold) & (folds != (fold + 1) % total)) if total > _FEWEST_FOLDS else watched
            if len(np.unique(targets[train[learned_from]])) < len(np.unique(targets[train])):
                way.verdict = "not tried: a class has too few pictures to hide some of them"
                return way
            learner, own = self._ready(self._plan(strategy=strategy, backbone=before.backbone, head=head))
            with tempfile.TemporaryDirectory(prefix="fovea-auto-") as folder:
                try:
                    learned = learner.learn(
                        own,
                        targets,
                        groups,
                        train=train[learned_from],
                        validation=train[watched],
                        checkpoint=Path(folder),
                        key=f"{key} {fold}",
                    )
                except FoveaError as error:
                    way.verdict = f"given up: {error.problem}"
                    return way
            logits = learned.logits[train[held_out]].astype(np.float64)
            probabilities = np.exp(logits - logits.max(1, keepdims=True))
            probabilities /= probabilities.sum(1, keepdims=True)
            rows.append(held_out)
            right.append(probabilities.argmax(1) == targets[train[held_out]])
            losses.append(negative_log_likelihood(probabilities, targets[train[held_out]]))
        way.rows, way.right, way.loss = np.concatenate(rows), np.concatenate(right), float(np.mean(losses))
        way.seconds = time.perf_counter() - began
        return way

    def _explain(self, chosen: Way) -> None:
        """Says of each way why it was or was not taken, and of all in a few sentences."""
        for way in self.ways:
            if way is chosen:
                way.verdict = "taken"
            elif len(way.right):
                apart, unsure = way.better_than(chosen)
                way.verdict = (
                    f"{apart:+.1%} against what was taken, no more than {unsure:.1%} of chance: the simpler of the two was taken"
                    if 0 < apart <= unsure
                    else f"{apart:+.1%} against what was taken"
                )
        tried = [way for way in self.ways if len(way.right)]
        low, high = wilson(int(chosen.right.sum()), len(chosen.right))
        others = "; ".join(
            f"{way.name} {way.accuracy:.1%}" + (f" (on {len(way.right):,} of them)" if len(way.right) < len(chosen.right) else "")
            for way in tried if way is not chosen
        )  # fmt: skip
        self.said += [f"{way.name} was {way.verdict}" for way in self.ways if not len(way.right)]
        if any(way.strategy != "probe" or way.head == "mlp" for way in tried):
            self.said.append(
                "what learns in epochs was tried with fewer pictures than probes were, since some of them say when to stop: that favours probes a little"
            )
        self.said.append(
            f"chosen: {chosen.name}, right on {chosen.accuracy:.1%} of the training pictures that were hidden from it ({low:.1%} to {high:.1%})"
            + (f"; also tried: {others}" if others else "")
        )


_WORDS = {
    ("probe", "mlp"): "a head with a hidden layer",
    ("frozen", "linear"): "a head on varied pictures",
    ("finetune", "linear"): "fine-tuning",
}
_PART = {"probe": 0.4, "frozen": 0.4, "finetune": 1.0}  # of what fine-tuning takes away of the errors (LOG.md)


def begin(settings: TrainSettings, source: Source, log: Path | None = None) -> Strategy:
    """What learns: the strategy that was asked for, or what chooses one. Its `plan` says with what.

    Args:
        settings: As asked.
        source: The data, open for as long as the strategy is used.
        log: A folder for TensorBoard.
    """
    plan = choose(settings, source)
    asked = (
        settings.head != "linear" or settings.weights_pattern is not None
    )  # a head or a part of weights of the user's own: nothing to compare
    if settings.strategy == "auto" and plan.strategy == "probe" and plan.goal.activation == "softmax" and not asked:
        return Auto(settings, source, plan, log)
    if log and not uses(plan.strategy, "tensorboard"):
        say(f"{plan.strategy} writes no log for TensorBoard: no network learns")
    return create_strategy(replace(plan, log=log))


def _place(place: tuple[str, int | None]) -> str:
    name, stage = place
    return name if stage is None else f"{name} up to map {stage}"


def _some(train: Ints, targets: Ints, seed: int) -> Ints:
    """At most so many rows as are compared; all classes are among them."""
    if len(train) <= _MOST_COMPARED:
        return train
    part = np.sort(np.random.default_rng(seed).permutation(train)[:_MOST_COMPARED])
    return part if len(np.unique(targets[part])) == len(np.unique(targets[train])) else train


def _cost_s(plan: Plan, num_pictures: int, head: str) -> float:
    """About how long one training takes, from two steps on noise: seconds."""
    learner = create_strategy(plan)
    method: Method = plan.settings.method(getattr(learner, "default", Method(epochs=50)))
    if plan.strategy == "probe":
        return num_pictures * method.epochs * 1e-4  # a small head on vectors: 10,000 a second and more
    size, network = plan.preprocessing.size_px, plan.network
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (_TIMED, size, size, 3), np.uint8))
    took = []
    with suppress(RuntimeError):  # where it does not even fit, the training itself says so
        for _ in range(2):
            began = time.perf_counter()
            if plan.strategy == "frozen":
                plan.embedder().engine(pixels.numpy(), ("embedding",))
            else:
                network(pixels).square().mean().backward()
                network.zero_grad(set_to_none=True)
            took.append((time.perf_counter() - began) / _TIMED)
    return num_pictures * method.epochs * min(took, default=float("inf"))


def _read(place: Path, key: str) -> dict[str, Any] | None:
    """What an earlier process chose for the same data."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(place.read_text())
        return found if found.get("key") == key else None
    return None
