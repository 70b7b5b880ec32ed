"""The first sentence of the page: how often it will be right, and what that was measured on."""

import math
from dataclasses import dataclass

from fovea.report.data import Json, ReportData
from fovea.report.honest import NO_TEST, honest
from fovea.report.measured import Measured, split_sizes
from fovea.report.words import count, listed, percent, quoted, share
from fovea.tasks.told import NOTHING, Told, Tone

_SURE = 0.95  # the end of an interval from which on "almost always" is no exaggeration


@dataclass(frozen=True)
class Answer:
    """What the page opens with.

    Args:
        sentence: The answer.
        caution: What must be known with it, or "".
        tone: How the caution is meant.
        basis: What was measured, in the same breath but smaller, or "".
    """

    sentence: str
    caution: str = ""
    tone: Tone = "plain"
    basis: str = ""


def answer(data: ReportData, result: Measured | None) -> Answer:
    """The one answer of a report: of its comparison, else of its measurement, else of its data."""
    ranked = ranking(data)
    if len(ranked) > 1:
        return _compared(data, ranked, result)
    if (figure := honest(data, result)) is not None:
        said = f"How often it will be right on {data.noun}s like yours is not known."
        if figure.known:
            said = promise(figure.accuracy, figure.lo, figure.hi, noun=data.noun)
            if not figure.learned and figure.guess_accuracy is not None:
                said = f"{NOTHING} {said}"
        return Answer(said, figure.caution, figure.tone, figure.basis if "(" in said else figure.sentence)
    if data.told is not None:
        return _told(data, data.told)
    files = sum(split_sizes(data).values())
    if files:
        return Answer(f"Here are {count(files, data.noun)} of {_classes(len(data.class_names))}. No model has been measured on them yet.")
    return Answer("Nothing has been measured yet.")


def ranking(data: ReportData) -> list[Json]:
    """The compared trainings with a known accuracy, best first."""
    return sorted((row for row in data.comparison if row.get("accuracy") is not None), key=lambda row: -row["accuracy"])


def _told(data: ReportData, told: Told) -> Answer:
    if data.told_of == "test":
        return Answer(told.sentence, told.caution, told.tone)
    caution = f"{told.caution} {NO_TEST.format(noun=data.noun)}".strip()
    return Answer(told.sentence, caution, "bad" if told.tone == "bad" else "caution")


def promise(accuracy: float, lo: float, hi: float, *, noun: str) -> str:
    """How often it will be right.

    Args:
        accuracy, lo, hi: 0 to 1, with the ends of its 95 % interval.
        noun: What one input is called.
    """
    like = f"on {noun}s like yours"
    whole = round(100 * accuracy)
    if whole == 100:  # "100 times in 100" would be a promise that nobody can keep
        often = "almost always be right" if lo >= _SURE else "be right"
        return f"It will {often} {like}: at least {math.floor(100 * lo)} times in 100."
    if whole == 0:
        seldom = "hardly ever be right" if hi <= 1 - _SURE else "be right"
        return f"It will {seldom} {like}: at most {math.ceil(100 * hi)} times in 100."
    return f"It will be right about {whole} times in 100 ({share(lo)} to {share(hi)}) {like}."


def too_close(best: Json, second: Json) -> bool:
    """Whether two compared trainings have intervals that overlap, so that their order may be luck."""
    lo, hi = best.get("accuracy_ci95"), second.get("accuracy_ci95")
    return bool(lo and hi and lo[0] <= hi[1])


def _compared(data: ReportData, ranked: list[Json], result: Measured | None) -> Answer:
    best = [row for row in ranked if row["accuracy"] == ranked[0]["accuracy"]]
    others = ranked[len(best) :]
    on = f" of {count(int(best[0]['n']), f'{data.compared_on} {data.noun}')}" if best[0].get("n") else f" of the {data.noun}s"
    who = listed([str(row["name"]) for row in best])
    sentence = f"{who} did best: {'it was' if len(best) == 1 else 'each was'} right on {percent(best[0]['accuracy'])}{on}"
    if others:
        sentence += ", against " + " and ".join(f"{share(row['accuracy'])} for {quoted(str(row['name']))}" for row in others[:3])
    sentence += "."
    if result is not None and result.accuracy != best[0]["accuracy"]:
        sentence += f" The one that was kept was right on {percent(result.accuracy)}."
    if data.versus:  # asked about the same pictures, which tells more than two intervals that overlap
        shown = [each for each in data.versus if each.better]
        if not shown:
            return Answer(sentence, "No difference is shown: chance alone could set equally good ones so far apart.", "caution")
        told = [
            f"{quoted(each.better)} is really better than {quoted(each.first if each.better == each.second else each.second)}"
            for each in shown
        ]
        return Answer(
            sentence, basis=f"Asked about the same {data.noun}s: {'; '.join(told[:3])}{'; and more below' if len(told) > 3 else ''}."
        )
    close = [row for row in ranked if too_close(best[0], row)]
    if len(close) == len(ranked):
        return Answer(sentence, "They are so close that their order may be luck.", "caution")
    if len(close) > 1:
        return Answer(sentence, f"The first {len(close)} are so close that their order may be luck.", "caution")
    return Answer(sentence)


def _classes(number: int) -> str:
    return count(number, "class")
