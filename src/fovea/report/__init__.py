"""One self-contained HTML file about a training, readable by someone who does not program."""

from fovea.report.advice import Advice, advise
from fovea.report.data import Mistake, Plot, ReportData, Thumb
from fovea.report.page import render, write_report

__all__ = ["Advice", "Mistake", "Plot", "ReportData", "Thumb", "advise", "render", "write_report"]
