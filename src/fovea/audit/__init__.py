"""What is wrong with the data: found before anything is learned from it."""

from fovea.audit.audit import Audit, Problem, examine

__all__ = ["Audit", "Problem", "examine"]
