"""Pictures without colour."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Channels, Lots, OpInfo
from fovea.transforms.ops._luma import TO_LUMA, without_offset


@OPS.add(OpInfo("channels", source="torchvision RandomGrayscale"), name="grey")
@dataclass(frozen=True, kw_only=True)
class Grey(Channels):
    """Takes the colour away; three equal channels are left."""

    chance: float = limited(0.1, low=0, high=1)

    def mix(self, lots: Lots) -> npt.NDArray[np.float64]:
        return without_offset(TO_LUMA)
