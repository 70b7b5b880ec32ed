"""The main job's own parts, for questions that look inside it."""

from typing import TYPE_CHECKING

from benchmarks.harness.places import PHOTOS, WEIGHTS, shared

if TYPE_CHECKING:
    from fovea.data import Source
    from fovea.embeddings.embedder import Embedder

SIZE_PX = 224


def main_job_embedder(source: "Source") -> "Embedder":
    """What turns the photos into vectors in the main job, made as the run makes it."""
    from fovea.selection.choose import choose
    from fovea.training.settings import checked
    from fovea.training.strategies.probe import Probe

    settings = checked(
        data=str(shared(PHOTOS)), backbone="mobilenet_v2", weights=str(shared(WEIGHTS)), strategy="probe", image_size=SIZE_PX
    )
    return Probe(choose(settings, source)).embedder
