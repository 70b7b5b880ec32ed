"""Which score tells pictures of none of the classes: distances between embeddings, or the logits."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.embedded import IMAGENET, IMAGENET_CLASSES, Rows, cats_dogs_and_others, tiny_imagenet
from benchmarks.harness.figures import Answer, Figure, Grid, Limit, Options, share
from benchmarks.harness.places import PHOTOS, WEIGHTS
from benchmarks.harness.tiny import TINY

if TYPE_CHECKING:
    from fovea.types import Floats, Ints

    Score = Callable[[Floats], Floats]  # (N, D) embeddings -> (N,), larger for stranger pictures

ASKS = (
    "A model that knows cats and dogs is shown one photo of each of the ImageNet classes that are neither: are they refused, where 5 % of true cats and dogs may "
    "be? Which score tells them best, there and between 20 classes of Tiny-ImageNet and 40 others?"
)
REPEATS = 1
NEEDS = (PHOTOS, WEIGHTS, IMAGENET, IMAGENET_CLASSES, TINY)

_FALSE_REFUSAL = 0.05
_SHIPPED = "5th nearest of 1,000, centred (shipped)"


def measure(options: Options) -> Answer:
    """Learns a probe on each data set, sets every score's threshold on validation, and asks it about test and strange pictures.

    Raises:
        Skip: The pictures or the weights are not here.
    """
    from fovea.versions import versions

    figures: list[Figure] = []
    cells: dict[str, list[str]] = {}
    plain: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        for title, rows in (("cats and dogs", cats_dogs_and_others()), ("Tiny-ImageNet, 20 classes", tiny_imagenet(Path(name)))):
            options.say(f"{title}: {len(rows.targets):,} pictures embedded")
            test, strange = rows.of("test")[0], rows.of("strange")[0]
            for score_name, score in _scores(rows).items():
                threshold = _threshold(score(rows.of("validation")[0]))
                known, other = score(test), score(strange)
                area, caught, false = _auroc(known, other), int((other > threshold).sum()), int((known > threshold).sum())
                plain.append(
                    {"data": title, "score": score_name, "auroc": area, "refused": caught / len(other), "false": false / len(known)}
                )
                cells.setdefault(score_name, []).extend([f"{area:.3f}", f"{caught / len(other):.1%}", f"{false / len(known):.1%}"])
                if score_name == _SHIPPED:
                    first = title == "cats and dogs"
                    figures += [
                        Figure(f"{title}: AUROC of strange against test", area, area, area, len(other), "strange pictures", "", Limit(0.95, "at least") if first else None),
                        share(f"{title}: strange ones refused", caught, len(other)),
                        share(f"{title}: known ones refused", false, len(known), limit=Limit(0.075) if first else None),
                    ]  # fmt: skip
            options.say(f"{title}: done")
    header = (
        "score",
        *(f"{data}: {what}" for data in ("cats and dogs", "Tiny-ImageNet") for what in ("AUROC", "refused", "known ones refused")),
    )
    return Answer(
        figures=figures,
        grid=Grid(header, [(score, *values) for score, values in cells.items()], plain),
        notes=[
            f"Each threshold is set on validation so that {_FALSE_REFUSAL:.0%} of known pictures are refused; `test` and strange pictures are then answered once.",
            "Strange to cats and dogs: all 1,000 ImageNet samples but the dogs' breeds and the domestic cats; wolves, foxes and wild cats are among them.",
            "The classes of Tiny-ImageNet are drawn from one and the same set: some strange ones are close kin of known ones.",
            "MobileNetV2's weights have seen all these classes of ImageNet: pictures unlike anything in ImageNet may be told less well.",
        ],
        versions=versions("fovea", "numpy", "scikit-learn"),
    )


def _scores(rows: Rows) -> "dict[str, Score]":
    """Every score, made from the training rows."""
    import numpy as np
    from sklearn.covariance import ledoit_wolf

    from fovea.bundle.refusal import unit
    from fovea.evaluation.strange import fit_refusal
    from fovea.training.logistic import fit_logistic

    train, targets = rows.of("train")
    head = fit_logistic(train, targets, np.arange(len(train)), num_classes=rows.num_classes, seed=0)
    found: dict[str, Score] = {}

    def logits(vectors: "Floats") -> "Floats":
        return vectors @ head.weight.T + head.bias

    def energy(vectors: "Floats") -> "Floats":
        z = logits(vectors)
        top = z.max(axis=1)
        return -(np.log(np.exp(z - top[:, None]).sum(axis=1)) + top)

    def nearest(k: int, kept: int, centred: bool) -> "Score":
        refusal = fit_refusal(train, targets, rows.of("validation")[0], k=k, most_kept=kept)
        if refusal is None:
            raise ValueError("there are too few validation pictures")
        if centred:
            return refusal.scores
        known = unit(train)
        return lambda vectors: 1 - np.partition(unit(vectors) @ known.T, -k, axis=1)[:, -k]

    def mahalanobis(relative: bool) -> "Score":
        """Lee et al. 2018 (arXiv:1807.03888), and relative to one Gaussian of all (Ren et al. 2021, arXiv:2106.09022), of unit vectors.

        The covariance of all is that within classes plus that between them. Shrunk by itself (Ledoit and Wolf) it would be shrunk less, so that it
        would be smaller than its own part within classes in most directions: what lies far off would then score lowest.
        """
        inputs = unit(train).astype(np.float64)
        means = np.stack([inputs[targets == k].mean(axis=0) for k in range(rows.num_classes)])
        within = ledoit_wolf(inputs - means[targets])[0]
        between = np.cov(means.T, bias=True, aweights=np.bincount(targets, minlength=rows.num_classes))
        whitened, all_whitened = (np.linalg.cholesky(np.linalg.inv(each)) for each in (within, within + between))
        middle = inputs.mean(axis=0)

        def score(vectors: "Floats") -> "Floats":
            mine = unit(vectors).astype(np.float64)
            apart = [np.square((mine - mean) @ whitened).sum(axis=1) for mean in means]
            background = np.square((mine - middle) @ all_whitened).sum(axis=1) if relative else 0.0
            return (np.min(apart, axis=0) - background).astype(np.float32)

        return score

    found[_SHIPPED] = nearest(5, 1_000, True)
    found["nearest of 1,000, centred"] = nearest(1, 1_000, True)
    found["50th nearest of 1,000, centred"] = nearest(50, 1_000, True)
    found["5th nearest of all, centred"] = nearest(5, len(train), True)
    found["5th nearest of all, not centred"] = nearest(5, len(train), False)
    found["Mahalanobis"] = mahalanobis(False)
    found["relative Mahalanobis"] = mahalanobis(True)
    found["energy of the logits"] = energy
    found["largest logit"] = lambda vectors: -logits(vectors).max(axis=1)
    return found


def _threshold(scores: "Floats") -> float:
    """The finite-sample quantile, as `fit_refusal` sets it."""
    import math

    import numpy as np

    return float(np.sort(scores)[math.ceil(round((len(scores) + 1) * (1 - _FALSE_REFUSAL), 9)) - 1])


def _auroc(known: "Floats", strange: "Floats") -> float:
    """How often a strange picture scores higher than a known one."""
    import numpy as np

    from fovea.metrics.ranking import areas

    scores = np.concatenate([known, strange])
    is_strange: Ints = np.repeat([0, 1], [len(known), len(strange)])
    return float(areas(np.stack([-scores, scores], axis=1), is_strange)[0][0, 1])
