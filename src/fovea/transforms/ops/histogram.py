"""Curves that follow from how often each level occurs in this picture."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Strength
from fovea.transforms.steps import Counts
from fovea.types import Floats


@OPS.add(
    OpInfo(
        "curve",
        source="Pillow ImageOps.autocontrast",
        strengths=(Strength("auto_contrast", lambda _: AutoContrast(), rand=1, trivial=1),),
    ),
    name="auto_contrast",
)
@dataclass(frozen=True, kw_only=True)
class AutoContrast(Curve):
    """Stretches each channel, so that its darkest level becomes 0 and its lightest 255; a channel of one level stays."""

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        present = counts() > 0
        low = np.where(present, values, np.float32(np.inf)).min(axis=0)
        high = np.where(present, values, np.float32(-np.inf)).max(axis=0)
        scale = np.float32(255) / np.maximum(high - low, np.float32(1e-6))
        return np.where(high > low, (values - low) * scale, values)


@OPS.add(
    OpInfo("curve", source="Pillow ImageOps.equalize", strengths=(Strength("equalize", lambda _: Equalize(), rand=1, trivial=1),)),
    name="equalize",
)
@dataclass(frozen=True, kw_only=True)
class Equalize(Curve):
    """Spreads each channel's levels, so that all parts of the range occur about as often; Pillow's formula."""

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        found, result = counts(), np.empty_like(values)
        for channel in range(values.shape[1]):
            levels = np.rint(values[:, channel]).astype(np.int64)
            occurring = np.bincount(levels, weights=found[:, channel], minlength=256).astype(np.int64)
            step = (occurring.sum() - occurring[np.flatnonzero(occurring)[-1]]) // 255
            if step == 0 or np.count_nonzero(occurring) <= 1:
                result[:, channel] = values[:, channel]
                continue
            before = np.cumsum(occurring) - occurring
            result[:, channel] = ((step // 2 + before) // step)[levels]
        return result
