"""Weights: found (`find`), read (`tensor_files`, `keras_files`), brought under our names (`naming`, `matching`, `strangers`), loaded,
saved and hashed (`load`), and tried on a drawn picture (`golden`). Each file's passport says where it comes from and how it must be fed.
"""

from fovea.models.passport import Passport
from fovea.models.weights.find import ResolvedWeights, candidates, resolve_weights
from fovea.models.weights.load import LoadReport, backbone_of, load_weights, save_weights, weights_hash

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
