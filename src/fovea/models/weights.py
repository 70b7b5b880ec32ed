"""Weights: found (`find`), loaded, saved and hashed (`load`), each with its passport."""

from fovea.models.find import ResolvedWeights, candidates, resolve_weights
from fovea.models.load import LoadReport, backbone_of, load_weights, save_weights, weights_hash
from fovea.models.passport import Passport

__all__ = [
    "LoadReport",
    "Passport",
    "ResolvedWeights",
    "backbone_of",
    "candidates",
    "load_weights",
    "resolve_weights",
    "save_weights",
    "weights_hash",
]
