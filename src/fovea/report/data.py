"""What a report shows: plain values only, so that whoever trained can fill it and nobody else need know the page.

K is the number of classes. Every field but the title may be left empty; the page then leaves out what it would show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fovea.tasks.told import Scatter, Table, Told
from fovea.types import Pixels

Json = Mapping[str, Any]  # an object as it stands in metrics.json, audit.json or a row of history.csv


@dataclass(frozen=True, eq=False)
class Thumb:
    """One example picture.

    Args:
        pixels: uint8 (H, W, 3) RGB, of any size; the page keeps at most 160 px. None where the picture cannot be had.
        path: Its name in the data.
        caption: The class that it stands for; examples with one caption are shown side by side.
    """

    pixels: Pixels | None
    path: str
    caption: str


@dataclass(frozen=True, eq=False)
class Mistake:
    """One picture that the model got wrong.

    Args:
        pixels: uint8 (H, W, 3) RGB, of any size; the page keeps at most 160 px. None where the picture cannot be had.
        path: Its name in the data.
        true, predicted: Class names.
        probability: What the model gave to `predicted`, 0 to 1.
        note: How far off or how sure, in words, in place of the probability; "" shows the probability.
    """

    pixels: Pixels | None
    path: str
    true: str
    predicted: str
    probability: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Point:
    """One picture on the map of the embeddings.

    Args:
        pixels: uint8 (H, W, 3) RGB, of any size; the page keeps at most 72 px. None where the picture cannot be had.
        path: Its name in the data.
        true, predicted: What it is and what was said, in words; with `wrong` False, `predicted` is not shown.
        wrong: Whether the answer was wrong.
    """

    pixels: Pixels | None
    path: str
    true: str
    predicted: str = ""
    wrong: bool = False


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Some pictures where the model sees them: what looks alike to it lies together.

    Args:
        points: The pictures.
        places: (x, y) of each, in any unit.
        method: How so many dimensions became two.
        kept: Share of all variation that the two directions keep, 0 to 1, or None where there is no such figure.
        coordinates: Principal coordinates of each point, from which another map can be made without the model.
        split: The split that the points are of.
        total: Pictures of that split.
    """

    points: Sequence[Point]
    places: Sequence[tuple[float, float]]
    method: Literal["pca", "tsne"] = "pca"
    kept: float | None = None
    coordinates: Sequence[Sequence[float]] = ()
    split: str = "test"
    total: int = 0


@dataclass(frozen=True, eq=False)
class Versus:
    """Two trainings on the same pictures.

    Args:
        first, second: Their names.
        sentence: Whether one is better, in words.
        better: The name of the one that is, or "" where no difference is shown.
        n: Pictures that both answered.
        only_first, only_second: How many only the one, and only the other, had right.
        difference, difference_ci95: Of the second's accuracy less the first's, -1 to 1.
        p_value: Of McNemar's exact test, adjusted for as many comparisons as were made.
        per_class: [{name, n, first, second, difference, lo, hi}], where they differ most first.
        disagreed: Pictures that one had right and the other wrong; `note` says which.
    """

    first: str
    second: str
    sentence: str
    better: str
    n: int
    only_first: int
    only_second: int
    difference: float
    difference_ci95: tuple[float, float]
    p_value: float
    per_class: Sequence[Json] = ()
    disagreed: Sequence[Mistake] = ()


@dataclass(frozen=True, eq=False)
class Explained:
    """One picture with what spoke for its answer.

    Args:
        path: Its name in the data.
        true, predicted: In words.
        probability: What the model gave to `predicted`, 0 to 1; None where its answers are no probabilities.
        right: Whether the answer was right; None of numbers, which are only near or far.
        drawing: A JPEG: the picture as the model sees it, and beside it the same under its heat.
        like: Of a wrong answer the training pictures of that class that are most like it: they speak for the mistake.
    """

    path: str
    true: str
    predicted: str
    probability: float | None
    right: bool | None
    drawing: bytes
    like: Sequence[Thumb] = ()


@dataclass(frozen=True, eq=False)
class Explanations:
    """What the model looks at, and how far that can be believed.

    Args:
        method: By which the heat was made, a name from `fovea explain --help`.
        pictures: Mistakes first.
        checked: How much more the answer lost where the hottest places were covered than where the middle was, with its interval, in
            words; "" where it was not asked.
        warning: Why the heat should not be believed; "" where nothing speaks against it.
        shortcuts: Each place at the rim by which the model tells a class, in a sentence or two.
        looked_for: What shortcuts were looked for in, in words; "" where none were.
    """

    method: str
    pictures: Sequence[Explained]
    checked: str = ""
    warning: str = ""
    shortcuts: Sequence[str] = ()
    looked_for: str = ""


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure that another library has drawn.

    Args:
        title: What it shows.
        png: The file's bytes.
    """

    title: str
    png: bytes


@dataclass(frozen=True, eq=False)
class ReportData:
    """The whole content of a report.

    Args:
        title: The heading, for example "cats_dogs: 2 classes".
        asked: What was asked, in words: {"Data": "photos/", "Strategy": "probe", "Seed": "0", ...}, in the order to show.
        command: The command line that does it again.
        notes: What "auto" chose and why, one plain sentence each.
        noun: What one input is called ("picture", "photo", "sound"); an "s" makes the plural.
        class_names: All K names, in the order of the confusion matrix.
        class_noun: What one of them is called: "class", "label".
        num_files: {split: files}.
        class_counts: {split: {class: files}}.
        examples: A few pictures per class.
        audit: As audit.json: what was found, kind by kind, in its own words.
        history: Rows of history.csv (epoch, split, loss, accuracy, lr, seconds); empty where there are no epochs.
        search: What was tried for the regularisation, [{value, loss, std}] with the mean loss over the folds, shown where there is no history.
        chosen: The `value` of the search that was taken; by default the one with the lowest loss.
        validation, test: As in metrics.json (n, accuracy, accuracy_ci95, top5_accuracy, ece, nll, confusion K x K with
            true classes as rows), or None where there is no such split.
        reliability: Bins [{lo, hi, n, confidence, accuracy}] of the test split, or of validation where there is no test.
        answering: As in metrics.json: what was set on validation ({calibration, conformal, refusal}).
        mistakes: Of the same split, the most confident first.
        confused: Some mistakes of each of the pairs of classes that are confused most.
        map: Where some pictures of that split lie in the space of the embeddings.
        explained: What it looks at, on some pictures of that split.
        told: What the task says of its own figures, where they are not a classifier's (accuracy, confusion, ...).
        told_of: The split that these are of.
        scatters: Answers against truth on that split, for numbers.
        comparison: Trainings to set side by side, [{name, accuracy, accuracy_ci95, loss, seconds, history, n}].
        versus: Trainings that were compared picture by picture.
        tables: Further figures of the compared trainings.
        plots: Drawn elsewhere.
        tried: Ways to learn that "auto" compared, as in metrics.json: {name, n, accuracy, accuracy_ci95, seconds, verdict}.
        averaging: What several looks or networks brought, as in metrics.json; empty where nothing was averaged.
        compared_on: The split that they were measured on.
        timing: As in metrics.json: {total_s, decode_s, ...}, in seconds.
        versions: {package: version}.
        seed: Of the run.
        created: When it was made, in words; empty leaves it out.
        cross_validation: As in metrics.json, where pictures are few: {n, accuracy, accuracy_ci95, folds, repeats, learned_from, commonest}.
        learning_curve: As in metrics.json: {points, forecast, ...}.
        slices: As in metrics.json, the worst first.
        right_means: When a picture counts as answered rightly, one sentence; "" where that needs no word.
        slice_examples: Pictures of the first of them, those that were answered wrongly in front.
        leaked: As in metrics.json: {split, n, of, clean}, where pictures that the figures are of stand in train too.
    """

    title: str
    asked: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    notes: Sequence[str] = ()
    noun: str = "picture"
    class_names: Sequence[str] = ()
    class_noun: str = "class"
    num_files: Mapping[str, int] = field(default_factory=dict)
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    examples: Sequence[Thumb] = ()
    audit: Json = field(default_factory=dict)
    history: Sequence[Json] = ()
    search: Sequence[Json] = ()
    chosen: float | None = None
    validation: Json | None = None
    test: Json | None = None
    reliability: Sequence[Json] = ()
    answering: Json = field(default_factory=dict)
    mistakes: Sequence[Mistake] = ()
    confused: Sequence[Mistake] = ()
    map: EmbeddingMap | None = None
    explained: Explanations | None = None
    told: Told | None = None
    told_of: str = "test"
    scatters: Sequence[Scatter] = ()
    comparison: Sequence[Json] = ()
    versus: Sequence[Versus] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    tried: Sequence[Json] = ()
    averaging: Json = field(default_factory=dict)
    compared_on: str = "test"
    timing: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    created: str = ""
    cross_validation: Json | None = None
    learning_curve: Json | None = None
    slices: Sequence[Json] = ()
    right_means: str = ""
    slice_examples: Sequence[Mistake] = ()
    leaked: Json | None = None
