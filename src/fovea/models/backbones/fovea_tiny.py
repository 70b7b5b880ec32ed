"""Fovea's own small backbone: MobileNetV2's blocks, narrower, and halved once less, for pictures of 64 to 128 px.

It is small enough to lie in the package, and quick on a processor. Its weights are learned by
`fovea distill`; their passport says from what.
"""

from fovea.models.backbone import BACKBONES, BackboneInfo
from fovea.models.backbones.mobilenet_v2 import MobileNetV2, Stages
from fovea.models.origins import Origin

_STEM, _FEATURES = 16, 512
_STAGES: Stages = ((1, 16, 1, 1), (3, 24, 2, 2), (4, 40, 3, 2), (4, 80, 4, 2), (4, 112, 2, 1), (4, 160, 3, 1))


class FoveaTiny(MobileNetV2):
    origins: tuple[Origin, ...] = ()  # nobody else has one


@BACKBONES.add(
    BackboneInfo(
        channels=(24, 40, 112, _FEATURES),
        strides=(4, 8, 16, 16),
        num_parameters=1_556_400,
        image_size_px=80,
        smallest_input_px=32,
        source="our own, of the blocks of arXiv:1801.04381",
    )
)
def fovea_tiny(*, num_classes: int = 0) -> FoveaTiny:
    """Fovea's own: small, quick, and in the package.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
    """
    return FoveaTiny(num_classes, _STAGES, stem=_STEM, num_features=_FEATURES, padding="symmetric", eps=1e-5)
