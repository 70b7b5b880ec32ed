"""What stands for "auto" is said as it was."""

from pathlib import Path

import pytest
from tests.shared_runs import paint

from fovea.data import open_source
from fovea.selection.choose import choose
from fovea.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("image_size", "variant", "why"),
    [
        (None, "180", "since the pictures' shorter side is about 96 px"),
        (48, "28", "since --image-size is 48"),
        (160, "180", "since --image-size is 160"),
    ],
)
def test_the_note_on_convnets_variant_says_whose_size_it_follows(tmp_path: Path, image_size: int | None, variant: str, why: str) -> None:
    data = paint(tmp_path, {"disc": 4, "cross": 4}, size_px=96)
    with open_source(data) as source:
        settings = TrainSettings(data=str(data), strategy="scratch", image_size=image_size)
        plan = choose(settings, source)
    assert f"convnet's variant for {variant} px, {why}" in plan.notes
