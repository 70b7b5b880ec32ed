"""Likely wrong labels: what judges that have not seen a picture say of it, and cleanlab's count of how many labels must be wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.audit.finding import Seen, Suspect
from fovea.audit.near import families
from fovea.embeddings.store import EmbeddingStore, Space
from fovea.errors import MissingExtra, missing_extra
from fovea.files import hash_bytes
from fovea.loading.parallel import chunks
from fovea.types import Floats, Ints

# Raise it when other labels would be doubted: kept answers are then made anew.
_VERSION = 2

_NUM_FOLDS = 5
_FEWEST = 5  # pictures of each class: with fewer, some fold's judge has next to nothing to go by
_NEIGHBOURS = 50
_MOST_REFERENCES = 20_000  # pictures among which neighbours are looked for
_TURN = 1024
# What both judges together still give this share to may well be right: of 4,000 photos, nothing above it was a wrong label that the
# photos came with, and of 147 turned labels none.
_MOST_FOR_LABEL = 0.15
# Where both judges together are so sure of another class, the label is doubted whatever cleanlab counts: it only counts what is
# surer than the judges are of that class's own pictures on average, and where classes are easily told apart that is 0.95 and more.
# Of 3 times 20 turned labels among 4,000 photos this adds 2 that are found, and no right label that is doubted.
_SURE = 0.9
# Better than chance by less than half the way to perfect (Cohen's kappa), and the judge has no say in who is wrong
_LEAST_KAPPA = 0.5
_MOST_SPACES = 3  # that are asked in turn; the one that tells the classes apart best is believed
_COVERED = 0.98  # of the pictures have an embedding already: enough to look without being asked


def spaces_at_hand(store: EmbeddingStore, contents: Sequence[str]) -> list[Space]:
    """The spaces in which nearly all of these contents have embeddings already, the last made first, and not more than three."""
    unique = len(set(contents))
    return [space for space, count in store.spaces(contents) if count >= max(2, _COVERED * unique)][:_MOST_SPACES]


def needs_cleanlab() -> MissingExtra | None:
    """The error that says how to install cleanlab, or None where it is installed."""
    from importlib.util import find_spec

    return None if find_spec("cleanlab") else missing_extra("cleanlab", "clean", "looking for wrong labels")


def suspects(seen: Seen, store: EmbeddingStore, spaces: Sequence[Space]) -> tuple[list[Suspect], list[str]]:
    """The pictures whose label is likely wrong, and notes on what could not be judged.

    Two judges give a probability for each class to each picture, and know its label no more than those of its near duplicates:
    a logistic regression from the other folds of a cross-validation, and the picture's nearest neighbours. They err in
    different ways, so that their mean doubts fewer unusual pictures than either. Then cleanlab estimates how many labels of each
    class are really of another, and takes so many (Northcutt, Jiang, Chuang, "Confident Learning", JMLR 2021); those that both
    judges are sure of come on top. `benchmarks/questions/audit.py` counts what is found among 4,000 photos, and what is doubted
    without reason.

    Args:
        seen: The pictures.
        store: Holds their embeddings.
        spaces: Where there are embeddings of them, one at least. A baseline's random weights may be among them, so that the
            space with the best agreement (Cohen's kappa) between judges and labels is believed.

    Raises:
        MissingExtra: cleanlab is not installed.
    """
    if (missing := needs_cleanlab()) is not None:
        raise missing
    rows = sorted((row for row in seen.rows if seen.items[row].label is not None), key=lambda row: (seen.hashes[row], seen.path(row)))
    names = sorted({seen.items[row].label or "" for row in rows})
    targets = np.array([names.index(seen.items[row].label or "") for row in rows], np.int64)
    if len(names) < 2 or np.bincount(targets).min() < _FEWEST:
        return [], [f"labels were not judged: that takes two classes, and {_FEWEST} pictures of each"]
    family = _families(seen, rows)
    if family.max() == 0:
        return [], ["wrong labels were not looked for: all pictures belong together, and none may be judged by its own kind"]
    words = [f"{seen.hashes[row]} {seen.items[row].label} {seen.items[row].group}" for row in rows]
    pairs = [f"{pair.first}{pair.second}" for pair in seen.near]
    known = dict(store.spaces([seen.hashes[row] for row in rows]))

    def ask(space: Space) -> dict[str, Any]:
        depends = (str(_VERSION), _cleanlab_version(), space.weights_hash, space.preprocessing_key, str(known.get(space, 0)))
        key = hash_bytes("labels", *depends, *words, "near", *pairs)
        answer = store.get_answer(key)
        if answer is None:
            vectors = store.get(space, [seen.hashes[row] for row in rows])
            places = [place for place, row in enumerate(rows) if seen.hashes[row] in vectors]
            inputs = np.stack([vectors[seen.hashes[rows[place]]] for place in places])
            answer = _judged(inputs, targets[places], family[places], len(names))
            answer["suspects"] = [(places[i], *others) for i, *others in answer["suspects"]]
            store.put_answer(key, answer)
        return answer  # type: ignore[no-any-return]

    best = max(map(ask, spaces), key=lambda answer: answer["kappa"])
    if best["kappa"] < _LEAST_KAPPA:
        backbones = " and ".join(sorted({space.backbone for space in spaces}))
        return [], [f"labels were not judged: embeddings of {backbones} tell these classes apart too badly to say which are wrong"]
    return [Suspect(rows[i], names[k], p, own) for i, k, p, own in best["suspects"]], []


def _judged(inputs: Floats, targets: Ints, family: Ints, num_classes: int) -> dict[str, Any]:
    """Agreement of the judges with the labels, and of each suspect its row, the suggested class, its probability, and the label's."""
    from cleanlab.filter import find_label_issues

    from fovea.training.logistic import deal, out_of_fold

    if len(np.unique(family)) < 2:  # those of the other families have no embedding
        return {"kappa": 0.0, "suspects": []}
    folds = deal(targets, family, num_folds=min(_NUM_FOLDS, len(np.unique(family))), seed=0)
    judged, _ = out_of_fold(inputs, targets, folds, num_classes=num_classes)
    probabilities = (judged + _neighbours_say(inputs, targets, family, num_classes)) / 2
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    best = probabilities.argmax(axis=1)
    by_chance = float((np.bincount(best, minlength=num_classes) / len(best)) @ (np.bincount(targets, minlength=num_classes) / len(best)))
    kappa = (float((best == targets).mean()) - by_chance) / max(1e-9, 1 - by_chance)
    if kappa < _LEAST_KAPPA:
        return {"kappa": kappa, "suspects": []}
    counted = find_label_issues(targets, probabilities, filter_by="prune_by_noise_rate", n_jobs=1)
    doubted = np.flatnonzero(counted | (probabilities.max(axis=1) >= _SURE))
    found = [
        (int(i), int(best[i]), round(float(probabilities[i, best[i]]), 4), round(float(probabilities[i, targets[i]]), 4))
        for i in doubted
        if best[i] != targets[i] and probabilities[i, targets[i]] <= _MOST_FOR_LABEL
    ]
    return {"kappa": kappa, "suspects": found}


def _families(seen: Seen, rows: Sequence[int]) -> Ints:
    """(N,) a number for each row, the same for equal pictures, near duplicates and pictures of one group: these must not judge each other."""
    number_of = {content: f"near {number}" for number, family in enumerate(families(seen.near)) for content in family}
    names = [
        f"group {seen.items[row].group}" if seen.items[row].group is not None else number_of.get(seen.hashes[row], seen.hashes[row])
        for row in rows
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _neighbours_say(inputs: Floats, targets: Ints, family: Ints, num_classes: int) -> Floats:
    """The classes of each row's nearest neighbours by the angle between embeddings around their mean, as shares (N, K)."""
    unit = inputs - inputs.mean(axis=0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    references = np.arange(len(unit))
    if len(references) > _MOST_REFERENCES:
        references = np.sort(np.random.default_rng(0).permutation(references)[:_MOST_REFERENCES])
    count = min(_NEIGHBOURS, max(3, int(np.bincount(targets).min() // 2)), len(references) - 1)
    shares = np.zeros((len(unit), num_classes), np.float32)
    known, their_family, their_class = unit[references], family[references], targets[references]
    for turn in chunks(len(unit), _TURN):
        rows = np.arange(turn.start, turn.stop)
        cosine = unit[rows] @ known.T
        cosine[family[rows][:, None] == their_family[None, :]] = -1
        nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        weight = np.maximum(np.take_along_axis(cosine, nearest, axis=1), 1e-3)
        np.add.at(shares, (rows[:, None], their_class[nearest]), weight)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _cleanlab_version() -> str:
    from importlib.metadata import version

    return version("cleanlab")
