"""How right the main job is: by cross-validation over training and validation photos, and once on the test photos."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Limit, Options, repeated, share
from benchmarks.harness.ours import main_job_embedder
from benchmarks.harness.places import PHOTOS, WEIGHTS, main_job, shared

if TYPE_CHECKING:
    from fovea.types import Floats, Ints

ASKS = (
    "How right is the main job on the cats and dogs? By 5-fold cross-validation over the training and validation photos, with "
    "the regularisation chosen anew within each fold from its own training photos; and on the test photos, once, as the run itself "
    "measured them."
)
REPEATS = 1
NEEDS = (PHOTOS, WEIGHTS)

_NUM_FOLDS = 5
_SEED = 0
_LIMITS = {"cross-validation": Limit(0.98, "at least"), "test": Limit(0.975, "at least")}


def measure(options: Options) -> Answer:
    """Runs the command once, then learns the folds from the embeddings that it left in the store.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: The run did not end well.
    """
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        options.say("running the main job")
        fovea(main_job().words, cache=folder / "cache", folder=folder)
        metrics: dict[str, Any] = json.loads((folder / "run" / "metrics.json").read_text())
        options.say("learning the folds")
        inputs, targets, groups = _from_the_store(folder / "cache")
    right, by_fold, strengths = cross_validate(inputs, targets, groups)
    test, validation = metrics["test"], metrics["validation"]
    chosen = ", ".join(f"{strength:g} in {times}" for strength, times in sorted(Counter(strengths).items()))
    return Answer(
        figures=[
            share("accuracy, 5-fold cross-validation", right, len(targets), limit=_LIMITS["cross-validation"]),
            repeated("of which each fold alone", by_fold, "%", of="folds"),
            _of_split("accuracy, test, once", test, limit=_LIMITS["test"]),
            _of_split("accuracy, validation (calibrated on)", validation),
        ],
        notes=[
            "Cats and dogs are among the classes of ImageNet, which the weights were trained on: transfer to them flatters the method.",
            "The spread is the 95 % Wilson interval of a share; of the folds it is the smallest and the largest.",
            f"Regularisation C chosen within the folds: {chosen}; in the run itself: {_strength(metrics)}.",
            f"Test: calibration error {test['ece']:.4f}, log-likelihood loss {test['nll']:.4f}.",
        ],
        command=main_job().said,
        versions=metrics["versions"],
    )


def cross_validate(inputs: "Floats", targets: "Ints", groups: list[str]) -> tuple[int, list[float], list[float]]:
    """Each row answered by a classifier that saw neither it nor its group.

    Args:
        inputs: (N, D) embeddings.
        targets: (N,) classes.
        groups: (N,) names; rows of one group (equal files) stay on one side.

    Returns:
        How many were right, the accuracy of each fold, and the regularisation that each fold chose.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    from fovea.training.logistic import fit_logistic

    right, by_fold, strengths = 0, [], []
    numbers = np.unique(groups, return_inverse=True)[1]
    folds = StratifiedGroupKFold(_NUM_FOLDS, shuffle=True, random_state=_SEED)
    for train, held_out in folds.split(inputs, targets, groups):
        fitted = fit_logistic(inputs[train], targets[train], numbers[train], num_classes=int(targets.max()) + 1, seed=_SEED)
        answers = (inputs[held_out] @ fitted.weight.T + fitted.bias).argmax(axis=1)
        hits = int(np.count_nonzero(answers == targets[held_out]))
        right += hits
        by_fold.append(hits / len(held_out))
        strengths.append(fitted.strength)
    return right, by_fold, strengths


def _from_the_store(cache: Path) -> tuple["Floats", "Ints", list[str]]:
    """Embeddings (N, D), classes (N,) and content hashes of the training and validation photos; none is computed here."""
    import numpy as np

    from fovea.data import open_source
    from fovea.embeddings.store import EmbeddingStore
    from fovea.loading.scan import scan

    with open_source(shared(PHOTOS)) as source, EmbeddingStore(cache / "embeddings.sqlite") as store:
        items = [item for item in source.items if item.split in ("train", "validation")]
        hashes = list(scan(source, items).hashes)
        known = store.get(main_job_embedder(source).space, hashes)
        targets = np.array([source.class_names.index(item.label or "") for item in items], np.int64)
    return np.stack([known[content] for content in hashes]), targets, hashes


def _of_split(name: str, measured: dict[str, Any], *, limit: Limit | None = None) -> Figure:
    low, high = measured["accuracy_ci95"]
    return Figure(name, measured["accuracy"], low, high, measured["n"], "pictures", "%", limit)


def _strength(metrics: dict[str, Any]) -> str:
    return f"{min(metrics['search'], key=lambda row: row['loss'])['value']:g}"
