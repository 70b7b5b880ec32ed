"""What is shipped: format, load, predict; numpy and an engine, never torch."""

from fovea.bundle.bundle import Bundle, load_bundle
from fovea.bundle.format import BUNDLE_FORMAT, BundleInfo, Calibration, TrainingData

__all__ = ["BUNDLE_FORMAT", "Bundle", "BundleInfo", "Calibration", "TrainingData", "load_bundle"]
