"""Puts a report together: the answer, the sections in their order, one file at the end."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fovea.files import write_atomic
from fovea.report import words
from fovea.report.answer import answer
from fovea.report.data import ReportData
from fovea.report.measured import measured
from fovea.report.sections import MOST, SECTIONS

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(path: str | Path, data: ReportData) -> Path:
    """Writes the report as one HTML file that needs nothing else: no network, no script, under 5 MB.

    Args:
        path: Where the file shall stand, for example RUN/report.html.
        data: What to show.

    Raises:
        DiskFull, OutputError: The file could not be written; what stood there before still stands.
    """
    return write_atomic(path, render(data))


def render(data: ReportData) -> str:
    """The whole page as text."""
    result = measured(data)
    common: dict[str, Any] = {"data": data, "result": result, "noun": data.noun, "comparison": [*data.comparison][:MOST], "most": MOST}
    # Advice may point to a section only where the page has it.
    found = [(section, content) for section in SECTIONS if (content := section.content(data, result)) is not None]
    common["anchors"] = {section.name for section, _ in found} | {"findings", "mistakes"}
    sections = [
        (section, Markup(_environment().get_template(f"{section.template or section.name}.html").render(**common, **content)))
        for section, content in found
    ]
    return _environment().get_template("report.html").render(**common, answer=answer(data, result), sections=sections)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every text passes here on its way out, so that none reaches the page with bytes that HTML forbids.
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else words.clean(value),
    )
    environment.filters.update(
        short=words.short,
        quoted=words.quoted,
        code_spans=words.code_spans,
        command=words.command,
        counted=words.count,
        percent=words.percent,
        share=words.share,
        duration=words.duration,
        figure=words.figure,
    )
    environment.globals["number"] = words.number
    return environment
