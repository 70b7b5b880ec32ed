"""Charts as inline SVG: pure functions from numbers to markup, coloured by the page's own CSS variables.

Each has a title and a description for those who cannot see it. Sizes are SVG units, about one CSS pixel on a phone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from fovea.report.honesty import Bin
from fovea.report.words import clean, figure, short

_WIDTH, _HEIGHT = 380, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 34, 46
_MOST_POINTS = 300  # per line: more than the pixels can show, and the page must stay small
_MOST_DOTS = 2_000  # of a scatter: 100 KB
_DOTS_UP_TO = 15  # points of a line that are few enough to mark each


_Point = tuple[float, float, tuple[float, float]]  # x, y, and the ends of the band there


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Args:
        name: For the legend.
        points: (x, y), in the order of x; a y that is not finite breaks the line.
        colour: 0 to 7, one of the page's series colours.
        dashed: Drawn with dashes.
        spread: Half the height of a band around each point, or None.
        bounds: Both ends of that band for each point, where they are not equally far; or None.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    dashed: bool = False
    spread: Sequence[float] | None = None
    bounds: Sequence[tuple[float, float]] | None = None


@dataclass(frozen=True)
class _Frame:
    """Maps values to SVG units, for a chart with axes."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_x: bool = False

    def x(self, value: float) -> float:
        lo, hi = self.x_range
        if self.log_x:
            value, lo, hi = math.log10(value), math.log10(lo), math.log10(hi)
        return _LEFT + (value - lo) / (hi - lo) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        lo, hi = self.y_range
        return _HEIGHT - _BOTTOM - (value - lo) / (hi - lo) * (_HEIGHT - _TOP - _BOTTOM)


def line_chart(
    series: Sequence[Series],
    *,
    key: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    in_percent: bool = False,
    log_x: bool = False,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Lines over a common axis; an empty Markup where no point is finite.

    Args:
        series: The lines; those with few points get dots.
        key: Unique in the page, for the ids of title and description.
        title, description: What it shows, in words.
        x_label, y_label: With units.
        in_percent: The values are fractions, and the axis shows percent.
        log_x: The x axis is logarithmic; points with x <= 0 are left out.
        mark: An x to mark by a vertical line, with its label.
    """
    lines = [
        (s, [(x, y, _band(s, i, y)) for i, (x, y) in enumerate(s.points) if math.isfinite(x) and (x > 0 or not log_x)]) for s in series
    ]
    xs = [x for _, points in lines for x, y, _ in points if math.isfinite(y)]
    ys = [end for _, points in lines for _, y, band in points if math.isfinite(y) for end in band]
    if not xs:
        return Markup("")
    y_ticks = _ticks(min(ys), max(ys), 5)
    if in_percent:
        y_ticks = _shares(y_ticks)
    x_ticks = _decades(min(xs), max(xs)) if log_x else _whole_ticks(min(xs), max(xs))
    frame = _Frame(_widened(min(xs), max(xs), log_x), (min(*y_ticks, *ys), max(*y_ticks, *ys)), log_x)
    parts = [_axes(frame, x_ticks, y_ticks, x_label, y_label, _percent_tick if in_percent else figure)]
    if mark is not None:
        parts.append(_mark(frame, *mark))
    for line, points in lines:
        kept = _thinned(points)
        if line.spread is not None or line.bounds is not None:
            upper = [f"{frame.x(x):.1f},{frame.y(band[1]):.1f}" for x, y, band in kept if math.isfinite(y)]
            lower = [f"{frame.x(x):.1f},{frame.y(band[0]):.1f}" for x, y, band in reversed(kept) if math.isfinite(y)]
            parts.append(f'<polygon class="band s{line.colour}" points="{" ".join(upper + lower)}"/>')
        dashes = " dashed" if line.dashed else ""
        parts.append(f'<path class="line s{line.colour}{dashes}" d="{_path(frame, kept)}"/>')
        if len(kept) <= _DOTS_UP_TO:
            parts += [
                f'<circle class="dot s{line.colour}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3"/>'
                for x, y, _ in kept
                if math.isfinite(y)
            ]
    return _svg(key, title, description, parts)


def reliability_chart(bins: Sequence[Bin], *, key: str, title: str, description: str) -> Markup:
    """How often the model was right (bars) for each degree of sureness, against the diagonal of a perfectly honest one.

    Bars that stand on fewer than 10 pictures are pale; the number of pictures is written above each.
    """
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    frame = _Frame((0.0, 1.0), (0.0, 1.0))
    parts = [_axes(frame, ticks, ticks, "how sure it said it was (%)", "how often it was right (%)", _percent_tick, _percent_tick)]
    counts = []
    for b in bins:
        if b.accuracy is None:
            continue
        left, right, top = frame.x(b.lo) + 1, frame.x(b.hi) - 1, frame.y(b.accuracy)
        pale = " pale" if b.few else ""
        parts.append(
            f'<rect class="bar{pale}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1):.1f}" height="{frame.y(0) - top:.1f}"/>'
        )
        counts.append(f'<text class="count" x="{(left + right) / 2:.1f}" y="{top - 4:.1f}" text-anchor="middle">{_brief(b.n)}</text>')
    parts.append(f'<path class="ideal" d="M{frame.x(0):.1f} {frame.y(0):.1f}L{frame.x(1):.1f} {frame.y(1):.1f}"/>')
    return _svg(key, title, description, parts + counts)


def scatter_chart(
    points: Sequence[tuple[float, float]],
    *,
    key: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    half_width: float | None = None,
) -> Markup:
    """Dots (x, y) on axes of one range, with the diagonal on which both are equal; an empty Markup where no point is finite.

    Args:
        points: At most 2,000 are drawn, evenly taken.
        key, title, description, x_label, y_label: As for `line_chart`.
        half_width: Of a band around the diagonal, or None.
    """
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not finite:
        return Markup("")
    step = max(1, -(-len(finite) // _MOST_DOTS))
    values = [value for point in finite for value in point]
    ticks = _ticks(min(values), max(values), 5)
    lo, hi = ticks[0], ticks[-1]
    frame = _Frame((lo, hi), (lo, hi))
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0])))  # so many that no two ticks read the same

    def told(value: float) -> str:
        return f"{value:.{decimals}f}" if decimals < 7 and abs(value) < 1e7 else figure(value)

    parts = [_axes(frame, ticks, ticks, x_label, y_label, told, told)]
    if half_width is not None:
        corners = [(lo, lo + half_width), (hi - half_width, hi), (hi, hi), (hi, hi - half_width), (lo + half_width, lo), (lo, lo)]
        inside = " ".join(f"{frame.x(min(max(x, lo), hi)):.1f},{frame.y(min(max(y, lo), hi)):.1f}" for x, y in corners)
        parts.append(f'<polygon class="band s0" points="{inside}"/>')
    parts.append(f'<path class="ideal" d="M{frame.x(lo):.1f} {frame.y(lo):.1f}L{frame.x(hi):.1f} {frame.y(hi):.1f}"/>')
    parts += [f'<circle class="dot s0" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5"/>' for x, y in finite[::step]]
    return _svg(key, title, description, parts)


def interval_chart(rows: Sequence[tuple[str, float, float, float]], *, key: str, title: str, description: str, x_label: str) -> Markup:
    """A dot and its interval for each row (name, value, low, high), fractions on a percent axis; an empty Markup without rows."""
    if not rows:
        return Markup("")
    ticks = _shares(_ticks(min(r[2] for r in rows), max(r[3] for r in rows), 5))
    ends = min(*ticks, *(r[2] for r in rows)), max(*ticks, *(r[3] for r in rows))
    frame = _Frame(_widened(*ends, False), (0.0, float(len(rows))))
    parts = [_axes(frame, ticks, [], x_label, "", str, _percent_tick)]
    for index, (name, value, low, high) in enumerate(rows):
        y, colour = frame.y(len(rows) - index - 0.6), index % 8
        parts.append(f'<path class="line s{colour}" d="M{frame.x(low):.1f} {y:.1f}H{frame.x(high):.1f}"/>')
        parts.append(f'<circle class="dot s{colour}" cx="{frame.x(value):.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(f'<text class="count" x="{_LEFT}" y="{y - 8:.1f}">{_text(short(name, 60))}</text>')
    return _svg(key, title, description, parts)


def _svg(key: str, title: str, description: str, parts: Sequence[str]) -> Markup:
    head = (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{_text(title)}</title><desc id="{key}-desc">{_text(description)}</desc>'
    )
    return Markup(head + "".join(parts) + "</svg>")


def _axes(
    frame: _Frame,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_label: str,
    y_label: str,
    y_text: Callable[[float], str],
    x_text: Callable[[float], str] = figure,
) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick in y_ticks:
        y = frame.y(tick)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_text(y_text(tick))}</text>'
        )
    for tick in x_ticks:
        x = frame.x(tick)
        parts.append(
            f'<path class="tick" d="M{x:.1f} {bottom}v5"/><text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{_text(x_text(tick))}</text>'
        )
    parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
    parts.append(f'<text class="label" x="{(_LEFT + right) / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{_text(x_label)}</text>')
    parts.append(f'<text class="label" x="0" y="14">{_text(y_label)}</text>')
    return "".join(parts)


def _mark(frame: _Frame, value: float, label: str) -> str:
    x = frame.x(value)
    right_half = x > (_LEFT + _WIDTH - _RIGHT) / 2
    side = f'x="{x - 5:.1f}" text-anchor="end"' if right_half else f'x="{x + 5:.1f}"'
    return (
        f'<path class="mark" d="M{x:.1f} {_TOP - 8}V{_HEIGHT - _BOTTOM}"/><text class="count" {side} y="{_TOP - 4}">{_text(label)}</text>'
    )


def _path(frame: _Frame, points: Sequence[_Point]) -> str:
    parts, pen = [], "M"
    for x, y, _ in points:
        if not math.isfinite(y):
            pen = "M"
            continue
        parts.append(f"{pen}{frame.x(x):.1f} {frame.y(y):.1f}")
        pen = "L"
    return "".join(parts)


def _band(series: Series, index: int, y: float) -> tuple[float, float]:
    """Both ends of the band around a point; the point itself where there is none."""
    if series.bounds is not None:
        return series.bounds[index]
    half = series.spread[index] if series.spread is not None and math.isfinite(series.spread[index]) else 0.0
    return y - half, y + half


def _thinned(points: Sequence[_Point]) -> Sequence[_Point]:
    """At most 300 of the points, evenly spaced, with the first and the last."""
    if len(points) <= _MOST_POINTS:
        return points
    step = (len(points) - 1) / (_MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(_MOST_POINTS)]


def _ticks(lo: float, hi: float, about: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) that enclose lo..hi, about so many."""
    span = hi - lo or abs(hi) or 1.0
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(lo / step + 1e-9), math.ceil(hi / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _shares(ticks: list[float]) -> list[float]:
    """Those within 0..1; all of it where fewer than two are, so that no axis is without a length (everything at 100 %)."""
    inside = [tick for tick in ticks if -1e-9 <= tick <= 1 + 1e-9]
    return inside if len(inside) > 1 else [0.0, 1.0]


def _whole_ticks(lo: float, hi: float) -> list[float]:
    """Whole numbers within lo..hi: epochs have no halves."""
    ticks = _ticks(lo, hi, 6)
    step = max(1.0, ticks[1] - ticks[0])
    inside = [i * step for i in range(math.ceil(lo / step), math.floor(hi / step) + 1)]
    return inside if inside and inside[0] - lo < step / 2 else [lo, *inside]


def _decades(lo: float, hi: float) -> list[float]:
    """Powers of ten within lo..hi, thinned to six at most; the ends where there is none."""
    inside = [10.0**k for k in range(math.ceil(math.log10(lo) - 1e-9), math.floor(math.log10(hi) + 1e-9) + 1)]
    return inside[:: math.ceil(len(inside) / 6)] if inside else sorted({lo, hi})


def _widened(lo: float, hi: float, log: bool) -> tuple[float, float]:
    """A range that is not empty."""
    if lo < hi:
        return lo, hi
    return (lo / 2, lo * 2) if log else (lo - 0.5, lo + 0.5)


def _percent_tick(value: float) -> str:
    """A fraction as a bare percent: 75, 97.5; the axis names the unit."""
    return f"{round(100 * value, 3):g}"


def _brief(n: int) -> str:
    """A count that fits over a narrow bar: 830, 1.2k, 12k; the table beside the chart has it in full."""
    return str(n) if n < 1000 else f"{n / 1000:.1f}k" if n < 9_950 else f"{n / 1000:.0f}k"


def _text(text: str) -> str:
    return str(escape(clean(text)))
