"""Which figure is the honest one: hidden in turn where pictures are few, without those that leaked, and whether anything was learned at all."""

from dataclasses import dataclass

from fovea.report.data import Json, ReportData
from fovea.report.measured import Measured
from fovea.report.words import between, count, percent, quoted
from fovea.tasks.told import Tone

NO_TEST = "There was no test split. The validation {noun}s also helped to choose settings, so expect a little less on new ones."


@dataclass(frozen=True)
class Honest:
    """The figure that a report opens with.

    Args:
        accuracy, lo, hi: 0 to 1, with the ends of its 95 % interval.
        n: Pictures that it was measured on.
        basis: How it was measured, and what it came to, in a sentence.
        expect: The interval in a sentence.
        guess, guess_accuracy: The class that someone who learned nothing would always name, and how often that is right; or None.
        learned: Whether it is shown to be better than that.
        leaked: Pictures that stand in training too and would have flattered the figure: some were learned from ("kept"), or were
            left out of training in time ("left out"); or there were none ("").
        caution: What must be known with it, or "".
        tone: How the caution is meant.
    """

    accuracy: float
    lo: float
    hi: float
    n: int
    basis: str
    expect: str
    guess: str | None
    guess_accuracy: float | None
    learned: bool
    leaked: str = ""
    caution: str = ""
    tone: Tone = "plain"
    known: bool = True  # False where every picture leaked: then the figure says nothing

    @property
    def sentence(self) -> str:
        """Both as one text."""
        return f"{self.basis} {self.expect}".strip()


def honest(data: ReportData, result: Measured | None) -> Honest | None:
    """The honest figure of a classifier's run, or None where none was measured."""
    if result is None:
        return None
    hidden, leaked = data.cross_validation, data.leaked
    if hidden and "accuracy" in hidden:
        accuracy, (lo, hi), n = float(hidden["accuracy"]), hidden["accuracy_ci95"], int(hidden["n"])
        basis = f"Asked about {data.noun}s that were hidden from it, it was right {percent(accuracy)} of the time."
        return _judged(data, accuracy, lo, hi, n, basis, result.guess, float(hidden["commonest"]), _few(data, hidden, result))
    if leaked and leaked.get("n"):
        return _leaking(data, leaked, result)
    what = f"{result.split} {data.noun}"
    right = f"all {count(result.n, what)}" if result.right == result.n else f"{result.right:,} of {count(result.n, what)}"
    basis = f"It was right on {right}: {percent(result.accuracy)}."
    why = _left_out(data) or (NO_TEST.format(noun=data.noun) if result.split != "test" else "")
    return _judged(data, result.accuracy, result.lo, result.hi, result.n, basis, result.guess, result.guess_accuracy, why)


def _judged(
    data: ReportData, accuracy: float, lo: float, hi: float, n: int, basis: str, guess: str | None, guess_accuracy: float | None, why: str
) -> Honest:  # fmt: skip
    even, learned = _even(data), _beats_guessing(data, lo, guess_accuracy)
    leaked, expect = "left out" if _num_left_out(data) else "", f"On {data.noun}s like these, expect between {between(lo, hi)}."
    if learned or guess_accuracy is None:
        return Honest(accuracy, lo, hi, n, basis, expect, guess, guess_accuracy, learned, leaked, why, "caution" if why else "plain")
    same = "always answering " + ("the commonest class" if guess is None else quoted(guess))
    if guess_accuracy < lo:
        same, guess_accuracy = "guessing", even
    caution = f"This is no better than {same}, which is right {percent(guess_accuracy)} of the time."
    return Honest(accuracy, lo, hi, n, basis, expect, guess, guess_accuracy, False, leaked, f"{caution} {why}".strip(), "bad")


def _even(data: ReportData) -> float:
    """How often guessing is right where all classes are equally common."""
    return 1 / max(len(data.class_names), 1)


def _beats_guessing(data: ReportData, lo: float, guess_accuracy: float | None) -> bool:
    """Whether the whole interval does; a class that happens to be rare among the measured ones makes guessing no worse."""
    return guess_accuracy is None or lo > max(guess_accuracy, _even(data))


def _leaking(data: ReportData, leaked: Json, result: Measured) -> Honest:
    """What was learned from is measured: the figure of the other pictures, where there are any."""
    clean = leaked.get("clean")
    shared = (
        f"{leaked['n']:,} of the {count(int(leaked['of']), f'{result.split} {data.noun}')} stand in training too, as they are, in another "
        "version or as one of a group"
    )
    if not clean:
        caution = f"The data is leaked: {shared}. The measured {percent(result.accuracy)} says nothing about new {data.noun}s."
        return Honest(
            result.accuracy, result.lo, result.hi, result.n, f"How good it is on new {data.noun}s is not known.", "", result.guess,
            result.guess_accuracy, False, "kept", caution, "bad", known=False,
        )  # fmt: skip
    accuracy, (lo, hi), n = float(clean["accuracy"]), clean["accuracy_ci95"], int(clean["n"])
    basis = f"On the {count(n, f'{result.split} {data.noun}')} that it had not learned from, it was right {percent(accuracy)} of the time."
    expect = f"On new {data.noun}s, expect between {between(lo, hi)}."
    caution = f"The data is leaked: {shared}. On all of them together it was right {percent(result.accuracy)} of the time, which flatters."
    guess_accuracy = clean.get("guess_accuracy", result.guess_accuracy)  # of these pictures; older runs know it of all together
    learned = _beats_guessing(data, lo, guess_accuracy)
    if not learned:
        caution += " On the others it has not been shown to have learned anything."
    return Honest(accuracy, lo, hi, n, basis, expect, result.guess, guess_accuracy, learned, "kept", caution, "bad")


def _few(data: ReportData, hidden: Json, result: Measured) -> str:
    text = (
        f"There are only {count(int(hidden['n']), data.noun)}. A split of {result.n:,} tells too little, so this is the mean of "
        f"{hidden['folds'] * hidden['repeats']:,} trainings on {hidden['learned_from']:,} {data.noun}s each, every one asked about "
        f"{data.noun}s that it had not seen (repeated cross-validation)."
    )
    return text + (" Some of them also helped to choose the way to learn, which flatters a little." if data.tried else "")


def _num_left_out(data: ReportData) -> int:
    found = data.audit.get("leaks")
    return 0 if data.leaked or not isinstance(found, list) else len(found)


def _left_out(data: ReportData) -> str:
    if not (number := _num_left_out(data)):
        return ""
    some = f"{count(number, f'training {data.noun}')} {'stands' if number == 1 else 'stand'} in validation or test too"
    return f"The data is leaked: {some}. {'It was' if number == 1 else 'They were'} left out of training, so this figure is not flattered by them."
