"""Several networks, and several views of each picture, that answer as one; and one network out of the weights of several.

All of it ends up in the one file that is shipped: whoever runs a bundle applies it without knowing of it.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional

from fovea.errors import InputError
from fovea.models.network import Network
from fovea.transforms.preprocessing import Preprocessing

_LEAST = 1e-6  # of a label's probability, before its logarithm is taken: in float32, 1 less that is still below 1


@dataclass(frozen=True)
class Views:
    """A way to look at one picture several times: test-time augmentation.

    Args:
        words: What is seen, for people.
        num_views: How often the network looks.
        zoom: How many times the network's own side the square must have that they are cut out of.
        look: float (B, Z, Z, 3), and the network's side S -> each view of each picture, (V B, S, S, 3).
    """

    words: str
    num_views: int
    zoom: Fraction
    look: Callable[[torch.Tensor, int], torch.Tensor]

    def wider(self, preprocessing: Preprocessing) -> Preprocessing:
        """The same part of the picture, on a square as large as the views need."""
        if self.zoom == 1:
            return preprocessing
        crop = None if preprocessing.crop_px is None else round(preprocessing.crop_px * self.zoom)
        resize = preprocessing.resize.model_copy(update={"size_px": round(preprocessing.resize.size_px * self.zoom)})
        return Preprocessing(resize=resize, crop=crop)


def _flips(pixels: torch.Tensor, size: int) -> torch.Tensor:
    return torch.cat([pixels, pixels.flip(2)])


def _crops(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """The corners are those of Krizhevsky et al. (2012); the whole picture, which the network learned from, stands for their centre."""
    first, last = slice(0, size), slice(-size, None)
    corners = [pixels[:, rows, columns] for rows in (first, last) for columns in (first, last)]
    return torch.cat([_sized(pixels, size), *corners])


def _scales(pixels: torch.Tensor, size: int) -> torch.Tensor:
    side = round(size * _SCALES)
    parts = [side, round(side * 7 / 8), size]
    return torch.cat([_sized(pixels[:, (at := (side - part) // 2) : at + part, at : at + part], size) for part in parts])


def _sized(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """(B, s, s, 3) -> (B, size, size, 3)."""
    planes = functional.interpolate(pixels.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", align_corners=False)
    return planes.permute(0, 2, 3, 1)


_SCALES = Fraction(4, 3)
VIEWS: dict[str, Views] = {
    "none": Views("the picture as it is", 1, Fraction(1), lambda pixels, size: pixels),
    "flips": Views("the picture and its mirror image", 2, Fraction(1), _flips),
    "scales": Views("the picture, and its middle at 7/8 and at 3/4 of the side", 3, _SCALES, _scales),
    "crops": Views("the picture, and its four corners at 7/8 of the side", 5, Fraction(8, 7), _crops),
}


class Averaged(nn.Module):
    """Networks whose answers are averaged, over all of them and over views of each picture: uint8 (B, Z, Z, 3) -> embedding, logits.

    What is averaged are the answers (probabilities, or numbers), as in Lakshminarayanan et al. 2017, arXiv:1612.01474; the logits are those
    that give this average, so that a calibration can follow. The embedding is the mean over the views, that of each network beside the others, at
    length 1 on average, so that none outweighs the others.

    Args:
        members: One or more, of the same classes and the same side.
        views: A name of `VIEWS`.
        size_px: The side that the members see.
        activation: From logits to answers: softmax, sigmoid or identity.
        lengths: Of each member's embeddings, which they are divided by; by default 1.
    """

    def __init__(
        self, members: Sequence[Network], *, views: str, size_px: int, activation: str, lengths: Sequence[float] | None = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.members = nn.ModuleList(members)
        self.views, self.size_px, self.activation = VIEWS[views], size_px, activation
        self.lengths = tuple(lengths or [1.0] * len(members))

    @property
    def num_passes(self) -> int:
        """How often a network looks for one answer."""
        return len(self.members) * self.views.num_views

    def answers(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding (B, D) and the logits (B, K)."""
        seen = self.views.look(pixels.float(), self.size_px)
        embeddings, answers = [], []
        for member, length in zip(self.members, self.lengths, strict=True):
            body = member.body
            scaled = (seen - body.shift.view(1, 1, 1, 3)) * body.scale.view(1, 1, 1, 3)  # type: ignore[union-attr,operator]
            embedding, logits = member.answers(scaled)  # type: ignore[operator]
            embeddings.append(self._mean(embedding) / length)
            answers.append(self._mean(_activated(logits, self.activation)))
        return torch.cat(embeddings, dim=1), _logits(torch.stack(answers).mean(0), self.activation)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.answers(pixels)

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        """(V B, N) -> (B, N)."""
        return values.reshape(self.views.num_views, -1, values.shape[1]).mean(0)


class Both(nn.Module):
    """A network that gives both of its answers: uint8 (B, S, S, 3) -> embedding (B, D) and logits (B, K)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network.answers(pixels)


def _activated(logits: torch.Tensor, activation: str) -> torch.Tensor:
    if activation == "softmax":
        return logits.softmax(dim=1)
    return logits.sigmoid() if activation == "sigmoid" else logits


def _logits(answers: torch.Tensor, activation: str) -> torch.Tensor:
    """The logits that the activation makes these answers of."""
    if activation == "identity":
        return answers
    if activation == "softmax":
        return answers.clamp_min(_LEAST**2).log()
    answers = answers.clamp(_LEAST, 1 - _LEAST)
    return answers.log() - (1 - answers).log()


def mixed(networks: Sequence[Network], shares: Sequence[float]) -> Network:
    """One network whose weights are the mean of several, each counting for its share (Wortsman et al. 2022, arXiv:2203.05482).

    Raises:
        InputError: They are not built alike.
    """
    states: list[Mapping[str, torch.Tensor]] = [network.state_dict() for network in networks]
    first = states[0]
    for network, state in zip(networks, states, strict=True):
        unlike = sorted(first.keys() ^ state.keys()) or [name for name in first if first[name].shape != state[name].shape]
        unlike += [] if _same_scaling(networks[0], network) else ["the scaling of pixels"]
        if unlike:
            raise InputError(
                "these networks are not built alike, so their weights cannot be mixed",
                got=f"{unlike[0]} differs",
                expected="the same backbone with the same options, and the same head",
                fix="average their answers: --how ensemble",
            )
    parts = [share / float(sum(shares)) for share in shares]

    def mean(name: str, tensor: torch.Tensor) -> torch.Tensor:
        """What counts batches and is no weight stays as it is in the first."""
        if not tensor.is_floating_point():
            return tensor
        return torch.stack([part * each[name].double() for part, each in zip(parts, states, strict=True)]).sum(0).to(tensor.dtype)

    made = copy.deepcopy(networks[0])
    made.load_state_dict({name: mean(name, tensor) for name, tensor in first.items()})
    return made.eval()


def _same_scaling(one: Network, other: Network) -> bool:
    mine, theirs = (dict(network.body.named_buffers(recurse=False)) for network in (one, other))
    return one.body.centred == other.body.centred and all(torch.equal(mine[name], theirs[name]) for name in mine)
