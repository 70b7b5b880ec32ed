"""Why a model answers as it does: one file a method, and one contract for all of them. Nothing here imports torch before it is needed."""

from fovea.explain.explanation import Explanation, explain_picture, heat_of
from fovea.explain.method import METHODS, MethodInfo, applicable
from fovea.explain.subject import Subject

__all__ = ["METHODS", "Explanation", "MethodInfo", "Subject", "applicable", "explain_picture", "heat_of"]
