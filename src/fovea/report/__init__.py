"""One self-contained HTML file about a training, readable by someone who does not program."""

from fovea.report.advice import Advice, advise
from fovea.report.data import Mistake, ReportData, Thumb
from fovea.report.page import render, write_report

__all__ = ["Advice", "Mistake", "ReportData", "Thumb", "advise", "render", "write_report"]
