"""What limits a model, read off its mistakes: where most of them lie, and how well its figure is known."""

from fovea.report.data import ReportData
from fovea.report.measured import Measured, class_results, confused_pairs
from fovea.report.words import count, percent, quoted

PACKAGED = "found in the package"  # how the sentence on weights ends that came with Fovea
_FEW_MISTAKES = 5  # fewer say nothing of where the next ones will lie
_MUCH = 0.3  # of all mistakes, in one of many places


def limits(data: ReportData, result: Measured | None) -> list[str]:
    """One to four sentences; none where nothing was measured or nothing was learned."""
    if result is None and data.told is not None:
        return [*_backbone(data), *data.told.limits]
    if result is None or result.no_better_than_guessing:
        return []
    mistakes = result.n - result.right
    if mistakes < _FEW_MISTAKES:
        told = "It made no mistake" if not mistakes else f"It made {count(mistakes, 'mistake')}"
        return [f"{told} in {count(result.n, f'{result.split} {data.noun}')}: only harder or more {data.noun}s can show what limits it."]
    return [*_backbone(data), *_places(result, mistakes), *_sure_of_itself(data, mistakes), *_known(data, result)]


def _backbone(data: ReportData) -> list[str]:
    """That the network is the small one of the package, whose weights are there where no others are."""
    if not data.asked.get("Backbone", "").startswith("fovea_tiny") or not data.asked.get("Weights", "").endswith(PACKAGED):
        return []
    return [
        "It sees with fovea_tiny, the small network that comes with Fovea. A larger pretrained one would probably do better: train with "
        "`--backbone mobilenet_v2` on a machine that is online, or put its weights into the folder that `FOVEA_WEIGHTS` names. `fovea models` "
        "shows what is at hand."
    ]


def _places(result: Measured, mistakes: int) -> list[str]:
    """The class or the pair in which most of the mistakes lie."""
    pairs = confused_pairs(result, most=1)
    if not pairs:
        return []
    pair = pairs[0]
    if pair.n >= _MUCH * mistakes and (len(result.class_names) > 2 or pair.n > 0.65 * mistakes):
        return [f"{pair.n:,} of its {count(mistakes, 'mistake')} are {quoted(pair.true)} taken for {quoted(pair.predicted)}."]
    worst = max(class_results(result), key=lambda row: row.n - row.right)
    missed = worst.n - worst.right
    if len(result.class_names) > 2 and missed >= _MUCH * mistakes:
        return [f"{missed:,} of its {count(mistakes, 'mistake')} are {quoted(worst.name)} taken for something else."]
    return [f"Its {count(mistakes, 'mistake')} are spread over the classes: no single one holds it back."]


def _sure_of_itself(data: ReportData, mistakes: int) -> list[str]:
    """Mistakes that it was sure of: a wrong label, or something that it was never shown."""
    known = [mistake for mistake in data.mistakes if mistake.probability > 0]
    sure = [mistake for mistake in known if mistake.probability >= 0.95]
    if not sure or not known:
        return []
    many = f"{len(sure):,} of its {count(mistakes, 'mistake')}" if len(known) >= mistakes else f"{count(len(sure), 'mistake')} or more"
    return [f"Of {many} it was at least 95 % sure: wrong labels, or something that it was never shown."]


def _known(data: ReportData, result: Measured) -> list[str]:
    """How well the figure itself is known."""
    wide = result.hi - result.lo
    if wide <= 0.05:
        return []
    return [f"Its figure is only known to {percent(wide)}: {count(result.n, f'{result.split} {data.noun}')} cannot tell more."]
