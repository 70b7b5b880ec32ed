"""What several looks, several networks or mixed weights brought, and what they cost, in words: for the report and the command line."""

from collections.abc import Mapping
from typing import Any

from fovea.report.words import count, figure, percent

_WHAT = {
    "single": "one network",
    "ensemble": "the averaged answers of several networks",
    "soup": "the averaged weights of several networks",
    "wise-ft": "the weights between two networks",
}


def told(averaging: Mapping[str, Any]) -> list[str]:
    """What was taken, what it brings on the test pictures, and what it costs, one sentence each.

    Args:
        averaging: As `metrics.json` has it.
    """
    found, views = averaging.get("gain"), averaging["tta"]
    if averaging["taken"] == averaging["before"]:
        return [
            f"Nothing that was tried was better on the validation pictures than {averaging['before']}, the best single run, so the bundle is "
            "that of this run, calibrated anew."
        ]
    taken = _WHAT[averaging["how"]] + (f", with test-time augmentation ({averaging['taken']})" if views != "none" else "")
    said = [f"Taken: {taken}; compared with the best single run, {averaging['before']}."]
    if found:
        said.append(_brought(found))
    times = averaging["passes"] / averaging["passes_before"]
    said.append(
        "It costs nothing more: one pass, as before."
        if times == 1
        else f"It costs {times:g} passes in place of one: a picture takes {_ms(averaging['seconds'])} of one core in place of {_ms(averaging['seconds_before'])}."
    )
    return said


def _brought(found: Mapping[str, Any]) -> str:
    low, high = found["loss_change_ci95"]
    parts = []
    if "accuracy_change" in found:
        least, most = found["accuracy_change_ci95"]
        parts.append(
            f"right on {percent(found['accuracy_after'])} instead of {percent(found['accuracy_before'])} "
            f"({_points(found['accuracy_change'])} points, 95 % interval {_points(least)} to {_points(most)})"
        )
    parts.append(f"loss {figure(found['loss_after'])} instead of {figure(found['loss_before'])} (change {_signed(low)} to {_signed(high)})")
    worse = low > 0 or found.get("accuracy_change_ci95", (0, 0))[1] < 0
    verdict = (
        "That is a gain beyond chance" if found["shown"] else "It is worse" if worse else "A gain is not shown: chance alone may do as much"
    )
    return f"On {count(found['n'], 'test picture')}: {', '.join(parts)}. {verdict}."


def _ms(seconds: float) -> str:
    return f"{figure(float(f'{1000 * seconds:.2g}'))} ms"


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"
