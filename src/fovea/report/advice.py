"""What to do next: concrete advice, read off the data and the measurements. Each piece is one small function of the whole.

The thresholds are judgements about what is worth a person's time; where one follows from more than that, it says so.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from fovea.metrics.intervals import wilson
from fovea.report.answer import ranking, too_close
from fovea.report.data import ReportData
from fovea.report.honest import honest
from fovea.report.honesty import honesty, read_bins
from fovea.report.learning import learning
from fovea.report.measured import Measured, class_results, confused_pairs, measured
from fovea.report.words import between, count, listed, percent, quoted, sentence, share, short

_FEW_PICTURES = 20  # for learning one class: below this every single picture matters
_WIDE = 0.10  # an interval wider than this leaves the second digit of the accuracy unknown
_OVERFIT = 0.10
_WORTH = 0.01  # a point of accuracy: below it, few would collect pictures


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Args:
        headline: What stands out, one sentence.
        detail: What to do about it; text between backticks is code.
        important: It makes the figures of this report wrong or meaningless.
        see: The id of the report's section that shows it, or None.
    """

    headline: str
    detail: str
    important: bool = False
    see: str | None = None

    def __str__(self) -> str:
        return f"{self.headline} {self.detail}"


def advise(data: ReportData) -> list[Advice]:
    """What to do next, important things first; never empty."""
    result = measured(data)
    found = [] if result is None else [advice for rule in _RESULT_RULES for advice in rule(data, result)]
    if result is None and data.told is not None:
        found += [Advice(headline, detail, important=data.told.tone == "bad", see="wrong") for headline, detail in data.told.advice]
    found += [advice for data_rule in _DATA_RULES for advice in data_rule(data)]
    if not found and data.versus:
        found.append(
            Advice("Take the one that is really better, if its cost suits you.", "Its own report says what limits it.", see="versus")
        )
    if not found:
        found.append(
            Advice(
                "Nothing stands out.",
                "The data has no faults that Fovea looks for, and the figures agree with each other. Try the model on pictures that it has never seen: `fovea predict RUN/bundle PHOTOS`.",
            )
        )
    return sorted(found, key=lambda advice: not advice.important)  # stable: the rules' own order otherwise


def _faults(data: ReportData) -> Iterator[Advice]:
    """What the audit says must be mended, in its own words."""
    yield from _found(data, "fault")


def _doubts(data: ReportData) -> Iterator[Advice]:
    """What the audit says should be looked at."""
    yield from _found(data, "doubt")


def _found(data: ReportData, level: str) -> Iterator[Advice]:
    for told in data.audit.get("findings") or ():
        if told["level"] == level:
            left_out = told["kind"] == "leaks" and data.told is None and not data.leaked  # no figure is wrong for them
            yield Advice(
                f"{told['headline']}.",
                f"{told['meaning']} {sentence(told['fix'])}",
                important=level == "fault" and not left_out,
                see="findings",
            )


def _few_pictures(data: ReportData) -> Iterator[Advice]:
    counts = {name: n for name, n in (data.class_counts.get("train") or {}).items() if n > 0}
    if len(counts) < 2:
        return
    middle = median(counts.values())
    # A class that has as many as the others is small because all are: that is said once, below.
    small = sorted(
        (name for name, n in counts.items() if (n < _FEW_PICTURES and n < middle) or n < middle / 4), key=lambda name: counts[name]
    )
    if small:
        least = counts[small[0]]
        yield Advice(
            f"Few {data.noun}s of {listed(small)}.",
            f"{quoted(small[0])} has {count(least, data.noun)} to learn from; the middle {data.class_noun} has {middle:,.0f}. Add more, taken in different places and light.",
            see="data",
        )
    elif middle < _FEW_PICTURES:
        yield Advice(
            f"Every {data.class_noun} has few {data.noun}s: {middle:,.0f} to learn from, typically.",
            f"More of every {data.class_noun} is the surest way to a better model. Fifty of each is a good start.",
            see="data",
        )


def _no_test(data: ReportData, result: Measured) -> Iterator[Advice]:
    if result.split != "test":
        yield Advice(
            "There is no test split.",
            f"The {data.noun}s measured here also helped to choose settings. Set some aside in a folder `test`, and measure once on those: `fovea evaluate RUN/bundle PHOTOS`.",
            see="sure",
        )


def _nothing_learned(data: ReportData, result: Measured) -> Iterator[Advice]:
    figure = honest(data, result)
    if figure is not None and not figure.learned and figure.guess is not None and figure.guess_accuracy is not None:
        yield Advice(
            "It has not been shown to have learned anything.",
            f"It was right {percent(figure.accuracy)} of the time; always answering {quoted(figure.guess)} is right {percent(figure.guess_accuracy)} of the time. "
            "Check that the labels are right and that a person can tell the classes apart; then try more pictures, a pretrained backbone or more epochs.",
            important=True,
            see="wrong",
        )


def _confused(data: ReportData, result: Measured) -> Iterator[Advice]:
    pairs = [pair for pair in confused_pairs(result, most=5) if pair.n >= 3 and pair.n >= 0.05 * pair.of]
    if len(result.class_names) > 2 and pairs and not result.no_better_than_guessing:
        worst = pairs[0]
        yield Advice(
            f"{quoted(worst.true)} is often taken for {quoted(worst.predicted)}: {_times(worst.n)} of {worst.of:,}.",
            f"Look at those {data.noun}s. Add some that show the difference, or make the two classes one if the difference does not matter.",
            see="wrong",
        )


def _weak_class(data: ReportData, result: Measured) -> Iterator[Advice]:
    weak = [c for c in class_results(result) if c.recall is not None and wilson(c.right, c.n)[1] < result.accuracy - 0.05]
    if weak and not result.no_better_than_guessing:
        worst = min(weak, key=lambda c: (c.recall or 0.0, -c.n))
        others = f" (and {count(len(weak) - 1, 'other class')})" if len(weak) > 1 else ""
        yield Advice(
            f"{quoted(worst.name)}{others} is recognised less often than the rest.",
            f"{worst.right:,} of its {count(worst.n, data.noun)}, {percent(worst.right / worst.n)}, against {percent(result.accuracy)} over all. Add {data.noun}s of it first.",
            see="wrong",
        )


def _suspicious_labels(data: ReportData, result: Measured) -> Iterator[Advice]:
    sure = [mistake for mistake in data.mistakes if mistake.probability >= 0.95]
    if sure:
        yield Advice(
            f"It was very sure of {count(len(sure), 'wrong answer')}.",
            f"Look at these labels first: {_paths([mistake.path for mistake in sure])}. Where the model is right and the label is wrong, mend the label.",
            see="mistakes",
        )


def _wide_interval(data: ReportData, result: Measured) -> Iterator[Advice]:
    if result.hi - result.lo > _WIDE and "accuracy" not in (data.cross_validation or {}):
        # Four times as many pictures halve an interval; the count for +-2.5 points is 1.96^2 p (1 - p) / 0.025^2.
        p = min(max(result.accuracy, 0.05), 0.95)
        enough = math.ceil(1.96**2 * p * (1 - p) / 0.025**2 / 50) * 50
        yield Advice(
            f"With {count(result.n, f'{result.split} {data.noun}')}, the accuracy is only known to be between {between(result.lo, result.hi)}.",
            f"About {enough:,} {result.split} {data.noun}s would narrow that to 5 points.",
            see="sure",
        )


def _calibration(data: ReportData, result: Measured) -> Iterator[Advice]:
    judged = honesty(read_bins(data.reliability), result.calibration_error, result.luck, result.calibration_low)
    if judged is not None and judged.verdict in ("too sure", "too modest"):
        yield Advice(
            f"Its percentages are {judged.verdict}.",
            f"They are off by {share(judged.error)} points on average. Use its answers, not its percentages, until more validation {data.noun}s allow a better calibration.",
            see="sure",
        )


def _curves(data: ReportData) -> Iterator[Advice]:
    seen = learning(data.history)
    if seen is None:
        return
    if seen.diverged:
        yield Advice(
            "It ran away while it learned.",
            "Its loss grew far above that of guessing. Train again with a smaller `--lr`, a tenth of what it was.",
            see="learning",
        )
    elif seen.gap is not None and seen.gap > _OVERFIT and seen.train_accuracy is not None and seen.validation_accuracy is not None:
        yield Advice(
            f"It learned the training {data.noun}s by heart (overfitting).",
            f"It is right on {percent(seen.train_accuracy)} of those and on {percent(seen.validation_accuracy)} of the validation {data.noun}s. "
            "More pictures, augmentation or a pretrained backbone help; more epochs do not.",
            see="learning",
        )
    elif seen.still_improving:
        yield Advice(
            "It was still improving when the training ended.",
            f"The best of its {seen.epochs:,} epochs was the last one. Give it more with `--epochs {2 * seen.epochs}`.",
            see="learning",
        )


def _compared(data: ReportData) -> Iterator[Advice]:
    rows = ranking(data)
    if len(rows) < 2:
        return
    best, second = rows[:2]
    if data.versus:
        if not any(each.better for each in data.versus):
            yield Advice(
                "No difference is shown.",
                f"Take the one that costs less, or measure with more {data.compared_on} {data.noun}s.",
                see="versus",
            )
        return
    if too_close(best, second):
        yield Advice(
            f"{quoted(best['name'])} and {quoted(second['name'])} are too close to call.",
            f"Their intervals overlap, so another draw of {data.compared_on} {data.noun}s could turn the order around. Measure with more {data.noun}s; more seeds show how much of each is luck.",
            see="comparison",
        )


def _paths(paths: list[str], *, most: int = 3) -> str:
    """`a.jpg`, `b.jpg` and 5 more."""
    told = [f"`{short(path, 60)}`" for path in paths[:most]]
    if len(paths) > most:
        told.append(f"{len(paths) - most:,} more")
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _weak_slice(data: ReportData) -> Iterator[Advice]:
    worse = [row for row in data.slices if row["worse"]]
    if worse:
        yield Advice(
            f"It does worse on some {data.noun}s: {worse[0]['name']}.",
            f"There it is right {percent(worse[0]['accuracy'])} of the time, elsewhere {percent(worse[0]['others'])}. Add such {data.noun}s to learn from, or take fewer of them in use.",
            see="slices",
        )


def _worth_more(data: ReportData) -> Iterator[Advice]:
    curve = data.learning_curve or {}
    for row in curve.get("forecast") or ():
        if row["n"] > curve["now"] and row["gain_ci95"][0] >= _WORTH:
            yield Advice(
                f"More {data.noun}s would help: {row['n'] - curve['now']:,} more, about {share(row['gain'])} points.",
                f"Its curve is still rising ({100 * row['gain_ci95'][0]:.1f} to {100 * row['gain_ci95'][1]:.1f} points are likely). Collect {data.noun}s like those that it will meet.",
                see="growth",
            )
            return


def _shortcuts(data: ReportData) -> Iterator[Advice]:
    for told in data.explained.shortcuts if data.explained else ():
        yield Advice(
            "It goes by a mark at the rim of the pictures, and not by what they show.",
            f"{told} Cover or crop that place in all pictures and train again, or collect pictures of every {data.class_noun} with the same mark and without it. "
            f"Until then the figures of this report hold for {data.noun}s with that mark alone.",
            important=True,
            see="explained",
        )


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n:,} times")


_RESULT_RULES: tuple[Callable[[ReportData, Measured], Iterator[Advice]], ...] = (
    _nothing_learned, _no_test, _weak_class, _confused, _suspicious_labels, _wide_interval, _calibration,
)  # fmt: skip
_DATA_RULES: tuple[Callable[[ReportData], Iterator[Advice]], ...] = (
    _shortcuts, _faults, _compared, _curves, _few_pictures, _worth_more, _weak_slice, _doubts,
)  # fmt: skip
