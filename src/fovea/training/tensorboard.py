"""A training as TensorBoard shows it: curves, the graph, histograms of the weights, and what the network answers for a few pictures."""

import warnings
from pathlib import Path

import torch
from torch import nn

from fovea.errors import missing_extra
from fovea.models.modes import evaluating
from fovea.training.state import Epoch
from fovea.types import Pixels

_CURVES = ("loss", "accuracy", "lr", "seconds")


class TensorBoard:
    """Called after each epoch (`fit(..., watchers=[TensorBoard(...)])`).

    Args:
        folder: Where the log is written.
        pictures: uint8 (N, S, S, 3), of which each epoch's answers are shown; none where the network takes no pictures.
        class_names: In the order of its outputs; () where these are no classes: then no answers are written.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, pictures: Pixels | None = None, class_names: tuple[str, ...] = ()) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise missing_extra((error.name or "tensorboard").partition(".")[0], "tensorboard", "--tensorboard") from error
        self._writer = SummaryWriter(str(folder))
        self._pictures, self._class_names = pictures, class_names
        self._drawn = False

    def __call__(self, network: nn.Module, history: list[Epoch]) -> None:
        epoch = history[-1].epoch
        for row in history[-2:]:
            values = {**{name: value for name in _CURVES if (value := getattr(row, name)) is not None}, **row.metrics}
            for name, value in values.items():
                self._writer.add_scalar(f"{name}/{row.split}", value, epoch)
        for name, parameter in network.named_parameters():
            self._writer.add_histogram(name, parameter.detach().float().cpu(), epoch)
        if self._pictures is not None:
            self._answers(network, self._pictures, epoch)
        self._writer.flush()

    def _answers(self, network: nn.Module, pictures: Pixels, epoch: int) -> None:
        device = next(network.parameters()).device
        with evaluating(network):
            with torch.inference_mode():
                pixels = torch.from_numpy(pictures).to(device)
                shares = network(pixels).float().softmax(1).cpu()
            if not self._drawn:
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that sizes become constants in a drawing
                    self._writer.add_graph(network, torch.from_numpy(pictures[:1]).to(device))
                self._writer.add_images("pictures", pictures, epoch, dataformats="NHWC")
                self._drawn = True
        if not self._class_names:
            return
        best = shares.argmax(1)
        lines = [f"{index + 1}. {self._class_names[int(k)]} {float(shares[index, k]):.1%}" for index, k in enumerate(best)]
        self._writer.add_text("answers for the pictures", "\n".join(lines), epoch)
