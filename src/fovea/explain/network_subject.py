"""A network in torch as the methods see it: any `nn.Module` that answers pictures, ours or a stranger's."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from fovea.errors import InputError, UnknownName
from fovea.evaluation.activation import activated
from fovea.explain.subject import TURN, Need, Subject
from fovea.explain.tracing import ATTENTION, RELUS, AttentionWatch, Edit, Place, editing, grid_of, last_map, lay_out, trace
from fovea.models.backbone import BACKBONES, Backbone
from fovea.models.modes import evaluating
from fovea.models.network import Network, PixelBackbone, Published
from fovea.tasks import Task, create_task
from fovea.types import Floats

_GRADIENTS = 8  # pictures that are followed back at once: their activations are kept
_SHARES = 1e-3  # how far from 1 the sum of outputs may be that are taken for probabilities
_EXACT = 1e-4  # share of what the maps add to the logits, within which a head counts as linear in the maps' means


@dataclass(frozen=True, eq=False)
class _Look:
    """One picture on its way through: its logits (1, K), which depend on the maps (1, C, h, w) or (1, L, C), where there are any."""

    pixels: Any
    logits: torch.Tensor
    maps: torch.Tensor | None


class NetworkSubject(Subject):
    """A network as the methods see it.

    Args:
        module: Float pictures (B, 3, H, W) in, outputs (B, K) out; or one of Fovea's own networks.
        task: What the outputs mean; by default they are the logits of a classifier.
        class_names: Of the outputs, where no task says them.
        layer: Whose maps are meant; by default the last convolution's, found by tracing.
        notes: What is to be said besides.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        task: Task | None = None,
        class_names: Sequence[str] = (),
        layer: str | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.module, self._asked, self._notes = module, layer, tuple(notes)
        self.task = task or create_task("classification", tuple(class_names))
        self.class_names = tuple(self.task.class_names)
        self._guesses = task is None and not isinstance(module, Network | Published)
        self._activation = self.task.activation
        self._place: Place | None = None
        self._grid = (1, 1)
        self._attends = self._rectifies = self._follows = False
        self._traced: tuple[int, ...] = ()  # the shape of the picture that it was traced with
        self._last: _Look | None = None
        self._places: list[Place] = []

    # --- what every subject gives

    def scores(self, pictures: Any, target: int) -> Floats:
        return self._in_turns(pictures, lambda logits: self.task.score({"logits": logits}, target))

    def answer(self, pictures: Any) -> Floats:
        self.find(pictures[0])
        return activated(self._activation, self._in_turns(pictures, lambda logits: logits), 1.0)

    def first(self, pixels: Any) -> tuple[Floats, Callable[[int], float]]:
        self.find(pixels)
        logits = self._look(pixels).logits.detach()
        answers = activated(self._activation, logits.float().cpu().numpy(), 1.0)[0]
        return answers, lambda target: float(self.task.score({"logits": logits}, target)[0])

    def forget(self) -> None:
        self._last = None

    def maps(self, pictures: Any) -> Floats:
        self.find(pictures[0])
        caught: list[torch.Tensor] = []

        def catch(tensor: torch.Tensor) -> torch.Tensor:
            caught.append(tensor.detach().clone())
            return tensor

        with self.untouched(), torch.no_grad():
            for start in range(0, len(pictures), TURN):
                x = self.input(pictures[start : start + TURN])
                with editing(self.module, self._here(), catch):
                    self._run(x)
        return torch.cat([lay_out(tensor, self._grid) for tensor in caught]).float().cpu().numpy()

    def pooled_head(self, target: int) -> Floats:
        if self._last is None:
            raise RuntimeError("a head is asked for while a picture is explained")
        _, gradient = self.maps_and_gradients(self._last.pixels, target)
        weights: Floats = gradient.sum(axis=(1, 2))
        return weights  # the score is linear in the maps: of a mean's weight each place has its part

    # --- what only a network gives

    def maps_and_gradients(self, pixels: Any, target: int) -> tuple[Floats, Floats]:
        """The maps of `layer` and the gradient of the score at them, both (C, h, w)."""
        look = self._look(pixels)
        if look.maps is None:
            raise RuntimeError("this network has no maps")
        score = self.task.score({"logits": look.logits}, target).sum()
        (gradient,) = torch.autograd.grad(score, look.maps, retain_graph=True)
        both = [lay_out(tensor.detach(), self._grid)[0].float().cpu().numpy() for tensor in (look.maps, gradient)]
        return both[0], both[1]

    def scores_of_edited(self, pixels: Any, target: int, edit: Edit, count: int) -> Floats:
        """(N,): the scores where `edit` makes N variants (N, C, h, w) of the maps (1, C, h, w) of one picture.

        The part before `layer` runs once.
        """
        self.find(pixels)
        place, flat = self._here(), len(self._here().shape) == 3

        def vary(tensor: torch.Tensor) -> torch.Tensor:
            if not flat:
                return edit(tensor)
            size = self._grid[0] * self._grid[1]
            places = edit(lay_out(tensor, self._grid)).flatten(2).transpose(1, 2)  # (N, L, C)
            head = tensor[:, : tensor.shape[1] - size]
            return torch.cat([head.expand(len(places), *head.shape[1:]), places], 1)

        with self.untouched(), torch.no_grad():
            x = self.input(pixels[None])
            try:
                with editing(self.module, place, vary):
                    logits = self._run(x)
            except RuntimeError:  # what lies behind joins the maps with others, of one picture still: all of it N times
                copies = x.expand(count, -1, -1, -1)  # beforehand: a call in there would count as one of the network's
                with editing(self.module, place, lambda tensor: vary(tensor[:1])):
                    logits = self._run(copies)
        scores: Floats = self.task.score({"logits": logits}, target).float().cpu().numpy()
        return scores

    def input(self, pictures: Any) -> torch.Tensor:
        """(B, H, W, 3) -> float (B, 3, H, W) as the network takes it, normalised where they are uint8."""
        x = torch.from_numpy(np.ascontiguousarray(pictures))
        first = next(self.module.parameters(), None)
        if first is not None:
            x = x.to(first.device)
        body = getattr(self.module, "body", None)
        if isinstance(body, PixelBackbone) and isinstance(self.module, Network | Published):
            return body.normalise(x)
        floats = x.permute(0, 3, 1, 2)
        if x.dtype == torch.uint8:
            mean, std = self._normalisation()
            floats = (floats / 255 - torch.tensor(mean, device=x.device).view(1, 3, 1, 1)) / torch.tensor(std, device=x.device).view(
                1, 3, 1, 1
            )
        return floats.to(first.dtype if first is not None else torch.float32)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) as `input` gives -> (B, K); within `untouched`."""
        return self._run(x)

    def gradients(self, x: torch.Tensor, target: int) -> torch.Tensor:
        """(B, 3, H, W) as `input` gives -> the gradient of each picture's score, of the same shape."""
        parts = []
        with self.untouched():
            for start in range(0, len(x), _GRADIENTS):
                turn = x[start : start + _GRADIENTS].detach().clone().requires_grad_()
                parts.append(torch.autograd.grad(self.task.score({"logits": self._run(turn)}, target).sum(), turn)[0])
        return torch.cat(parts)

    def attention(self, pixels: Any) -> list[Any]:
        """The attention weights of each layer, (L, L), the mean of its heads, in order."""
        with self.untouched(), torch.no_grad(), AttentionWatch() as watch:
            self._run(self.input(pixels[None]))
        return [each.double().numpy() for each in watch.found]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the maps of `layer`; (1, 1) where there is none."""
        return self._grid

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Eval mode while it is open, and afterwards everything as it was: modes, and torch's chance."""
        with evaluating(self.module), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            yield

    def find(self, pixels: Any) -> None:
        """Finds the layer whose maps are meant, and what the network offers; once for each size of pictures.

        Raises:
            UnknownName: The layer that was asked for does not exist; near ones are named.
            InputError: Its output does not lie in places; or the network does not answer with numbers (B, K).
        """
        if self._traced == pixels.shape:
            return
        found, places, functions = self._traced_with(pixels)
        if found is None and any(place.convolved for place in places):  # no ReLU lets this picture through, a black one for example
            noise = np.random.default_rng(0).integers(0, 256, pixels.shape).astype(pixels.dtype)
            found, places, functions = self._traced_with(noise if pixels.dtype == np.uint8 else noise / 128 - 1)
        square = any(place.function == "softmax" and len(place.shape) == 4 and place.shape[2] == place.shape[3] > 1 for place in places)
        self._rectifies, self._attends = bool(functions & RELUS), square or bool(functions & ATTENTION)
        if self._asked is not None:
            found = self._named(self._asked, places, pixels)
        for place in places:
            place.tensor = torch.empty(0)
        self._traced, self._last = pixels.shape, None
        self._place, self._grid = found if found else (None, (1, 1))
        self.layer = self._place.name if self._place else ""
        ours = next((part for part in self.module.modules() if isinstance(part, Backbone)), None)
        if ours and self._place:
            self.margins_px = ours.margins_of(self._grid[0], pixels.shape[0]), ours.margins_of(self._grid[1], pixels.shape[1])
        self.notes = self._told()
        self.offers = frozenset(self._offered(pixels))

    # --- within

    def _traced_with(self, pixels: Any) -> tuple[tuple[Place, tuple[int, int]] | None, list[Place], set[str]]:
        with self.untouched():
            x = self.input(pixels[None]).detach().clone().requires_grad_()
            try:
                logits, places, functions = trace(self.module, lambda: self._run(x))
            except InputError:
                raise
            except (RuntimeError, ValueError, AssertionError) as error:
                raise InputError(
                    f"the model cannot look at this picture: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}",
                    got=f"{pixels.shape[1]} x {pixels.shape[0]} px, {x.shape[1]} channels", expected="a picture of the size that the model is made for",
                    fix="prepare the picture as the model was trained, and give it as floats (3, H, W)",
                ) from error  # fmt: skip
            self._guess(logits.detach())
            self._follows = logits.requires_grad
            if not self._follows:
                self._say(
                    "The model answers without gradients (under torch.no_grad, it seems): methods that follow a score back, and layers, cannot be had."
                )
            spread = torch.linspace(0.5, 1.5, logits.shape[1], device=logits.device)  # not the sum: softmax's is always 1
            return last_map(places, (logits * spread.to(logits.dtype)).sum()), places, functions

    def _guess(self, logits: torch.Tensor) -> None:
        """What the outputs of somebody's network are, where nobody has said it."""
        if not self._guesses:
            return
        shares = logits.shape[1] > 1 and bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < _SHARES).all())
        self._activation = "identity" if shares or logits.shape[1] == 1 else "softmax"
        taken = "probabilities, since they add up to 1" if shares else "a number" if logits.shape[1] == 1 else "the logits of a classifier"
        self._say(
            f"The model's outputs were taken for {taken}; where they mean something else, give fovea.explain.NetworkSubject(model, task=...) in place of the model."
        )

    def _offered(self, pixels: Any) -> Iterator[Need]:
        if self._follows:
            yield "gradients"
        if self._place:
            yield "maps"
            if self._is_pooled(pixels):
                yield "pooled_head"
        if self._attends:
            yield "attention"
        if self._rectifies:
            yield "relus"

    def _is_pooled(self, pixels: Any) -> bool:
        """Whether the logits are linear in the means of the maps: tried out with maps by chance, their double, their sum, and levelled ones."""
        generator = torch.Generator().manual_seed(0)

        def edit(maps: torch.Tensor) -> torch.Tensor:
            one, two = (torch.rand(maps.shape, generator=generator).to(maps) * max(1.0, float(maps.abs().max())) for _ in range(2))
            tried = [torch.zeros_like(maps), one, 2 * one, two, one + two]
            return torch.cat([*tried, *(each.mean(dim=(2, 3), keepdim=True).expand_as(each) for each in tried[1:4])])

        found: list[torch.Tensor] = []
        asked = self.task
        try:
            self.task = _Everything(found)  # type: ignore[assignment]
            self.scores_of_edited(pixels, 0, edit, 8)
        except RuntimeError:
            return False
        finally:
            self.task = asked
        zero, one, twice, two, both, *level = found[-1].double()
        apart = [one - zero - (twice - one), both - zero - (one - zero) - (two - zero)]
        apart += [a - b for a, b in zip(level, (one, twice, two), strict=True)]
        return max(float(each.abs().max()) for each in apart) <= _EXACT * max(float((each - zero).abs().max()) for each in (one, two))

    def _look(self, pixels: Any) -> _Look:
        if self._last is not None and self._last.pixels is pixels:
            return self._last
        self.find(pixels)
        caught: list[torch.Tensor] = []

        def catch(tensor: torch.Tensor) -> torch.Tensor:
            torch.set_grad_enabled(True)  # gradients are wanted from here on; what lies before runs without
            caught.append(tensor.detach().clone().requires_grad_())
            return caught[-1] * 1  # what follows may write in place

        with self.untouched(), torch.no_grad(), ExitStack() as stack:
            x = self.input(pixels[None])
            if self._place:
                stack.enter_context(editing(self.module, self._place, catch))
            logits = self._run(x)
        self._last = _Look(pixels, logits, caught[-1] if caught else None)
        return self._last

    def _in_turns(self, pictures: Any, of: Callable[[torch.Tensor], torch.Tensor]) -> Floats:
        with self.untouched(), torch.no_grad():
            parts = [of(self._run(self.input(pictures[start : start + TURN]))) for start in range(0, len(pictures), TURN)]
        values: Floats = torch.cat(parts).float().cpu().numpy()
        return values

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised (B, 3, H, W) -> logits (B, K)."""
        output = self.module(x.permute(0, 2, 3, 1) if isinstance(self.module, Network | Published) else x)
        logits = _logits(output, last=isinstance(self.module, Network | Published))
        if isinstance(output, tuple | list) and not isinstance(self.module, Network | Published) and not hasattr(output, "logits"):
            self._say("The model gives several outputs: the first that is a row of numbers for each picture is explained.")
        if logits is None:
            raise InputError(
                "the model does not answer each picture with a row of numbers, so there is no score to follow back",
                got=_described(output), expected="outputs (B, K), one row a picture", fix="wrap it in a module that gives such outputs",
            )  # fmt: skip
        return logits

    def _here(self) -> Place:
        if self._place is None:
            raise RuntimeError("this network has no maps")
        return self._place

    def _named(self, asked: str, places: list[Place], pixels: Any) -> tuple[Place, tuple[int, int]]:
        """The layer that was asked for, a beginning left out where that is clear: "bn2" for "body.backbone.bn2"."""
        names = [name for name, _ in self.module.named_modules() if name]
        known = list(dict.fromkeys([*names, *(place.name for place in places)]))
        fits = [name for name in known if name == asked] or [name for name in known if name.endswith(f".{asked}")]
        if len(fits) != 1:
            lie = [place.name for place in places if grid_of(place.shape)]  # to name another would only be refused
            near = difflib.get_close_matches(asked, lie, n=5, cutoff=0.4) or difflib.get_close_matches(
                asked, [name.rpartition(".")[2] for name in lie], n=5, cutoff=0.4
            )
            raise UnknownName(
                f"{len(fits)} layers are called {asked!r}" if fits else f"no layer is called {asked!r}",
                got=asked,
                expected="one of the network's layers, for example " + ", ".join((fits or [place.name for place in places][::-1])[:6]),
                fix=f"did you mean {' or '.join(fits[:5] or near)}?"
                if fits or near
                else "leave --layer out: the last convolution is found",
            )
        place = next((place for place in reversed(places) if place.name == fits[0]), None) or self._output_of(fits[0], pixels)
        cuts = [each.shape[2:] for each in places if each.convolved and len(each.shape) == 4]  # of patches: the last has the tokens' grid
        grid = grid_of(place.shape, (cuts[-1][0], cuts[-1][1]) if cuts else None)
        if grid is None:
            raise InputError(
                f"the output of the layer {fits[0]!r} does not lie in places", got=f"outputs {place.shape}",
                expected="maps (B, C, h, w) of more than one place, or tokens (B, L, C)", fix="name a convolution, or leave --layer out",
            )  # fmt: skip
        return place, grid

    def _output_of(self, name: str, pixels: Any) -> Place:
        """A module whose output was another's too."""
        shapes: list[tuple[int, ...]] = [()]

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            shapes.append(tuple(output.shape) if isinstance(output, torch.Tensor) else ())

        handle = self.module.get_submodule(name).register_forward_hook(hook)
        try:
            with self.untouched(), torch.no_grad():
                self._run(self.input(pixels[None]))
        finally:
            handle.remove()
        return Place(name, 0, shapes[-1], "", torch.empty(0), of_module=True, call=len(shapes) - 1)

    def _told(self) -> tuple[str, ...]:
        notes = list(self._notes)
        if self._place and self._asked is None:
            what = "tokens of patches" if len(self._place.shape) == 3 else "maps"
            notes.append(f"layer {self.layer}: the last {what} before pooling, {self._grid[1]} x {self._grid[0]} places")
        return tuple(notes)

    def _say(self, note: str) -> None:
        if note not in self._notes:
            self._notes += (note,)

    def _normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        if isinstance(self.module, Backbone) and self.module.made_as:
            info = BACKBONES[self.module.made_as].info
            return info.mean, info.std
        self._say(
            "The bytes of the picture were scaled to 0..1, and no more: give floats (3, H, W), prepared, where the model wants something else."
        )
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


class _Everything:
    """A stand-in for a task that keeps all logits."""

    def __init__(self, found: list[torch.Tensor]) -> None:
        self.found = found

    def score(self, outputs: dict[str, Any], index: int) -> Any:
        self.found.append(outputs["logits"])
        return outputs["logits"][:, index]


def _logits(output: Any, *, last: bool = False) -> torch.Tensor | None:
    """The logits (B, K) in what a network gives: itself, under its name, or the first of several; the last of Fovea's own, whose first is the embedding."""
    if isinstance(output, torch.Tensor):
        return output[:, None] if output.ndim == 1 else output if output.ndim == 2 else None
    named = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if isinstance(named, torch.Tensor):
        return _logits(named)
    if isinstance(output, tuple | list):
        rows = [each for each in output if isinstance(each, torch.Tensor) and each.ndim == 2]
        return rows[-1 if last else 0] if rows else None
    return None


def _described(output: Any) -> str:
    return f"outputs {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
