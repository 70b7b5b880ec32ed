"""What is to be explained, from where it lies: a run, a bundle, or a network in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fovea.bundle import Bundle, load_bundle
from fovea.bundle.archive import WEIGHTS, unpack_weights
from fovea.errors import BundleError, InputError
from fovea.explain.bundle_subject import BundleSubject
from fovea.explain.method import METHODS
from fovea.explain.subject import Subject

if TYPE_CHECKING:
    from fovea.models.network import Network, Published

_IN_RUN = ("checkpoint", "best.safetensors")


@dataclass(frozen=True)
class Opened:
    """A model to explain, and the bundle that says how pictures are prepared for it; None of a network in memory."""

    subject: Subject
    bundle: Bundle | None = None


def open_subject(model: Any, *, method: str = "gradcam", layer: str | None = None, class_names: Sequence[str] = ()) -> Opened:
    """Opens what is to be explained, with as little as the method needs: no torch where the bundle alone will do.

    Args:
        model: A run folder, a bundle (folder or .fovea file), an opened `Bundle`, a torch network, or a `Subject`, which says what a network's outputs mean.
        method: By which it will be explained.
        layer: Whose maps are meant; by default the last convolution's.
        class_names: Of a network's outputs, in their order.

    Raises:
        UnknownName: No such method.
        BundleError: There is no bundle, or it lacks what the method needs.
        InputError: That is no model.
    """
    needs = METHODS[method].info.needs
    if isinstance(model, Subject):
        if layer is not None:
            raise InputError(
                "a subject has chosen its layer already", got=f"layer={layer!r}", expected="the layer given to the subject",
                fix="NetworkSubject(model, layer=...)",
            )  # fmt: skip
        return Opened(model)
    if not isinstance(model, str | Path | Bundle):
        return Opened(_of_module(model, layer, class_names))
    bundle = model if isinstance(model, Bundle) else load_bundle(model)
    subject = BundleSubject(bundle)
    if layer is None and subject.offers.issuperset(needs):
        return Opened(subject, bundle)
    from fovea.explain.network_subject import NetworkSubject  # torch, from here on

    return Opened(NetworkSubject(network_of(bundle, method=method), task=bundle.task, layer=layer), bundle)


def network_of(bundle: Bundle, *, method: str = "this method") -> Network | Published:
    """The network in torch that a bundle was made of: its weights from the run around it, or from the bundle itself.

    Raises:
        BundleError: The weights are in neither, or they are not this bundle's; or it averages several answers.
    """
    averaging = bundle.info.averaging or {}
    if averaging.get("passes", 1) != 1:
        raise BundleError(
            f"{method} follows one network that looks at a picture once, and the bundle {str(bundle.path)!r} averages {averaging['passes']} such answers",
            got=f"what `fovea average` made: how {averaging.get('how')}, tta {averaging.get('tta')}",
            expected="a run of one network, without test-time augmentation",
            fix="name one of the runs that were averaged; " + _without_weights(BundleSubject(bundle)),
        )
    with weights_of(bundle.path) as found:
        if found is not None:
            from fovea.explain.rebuild import rebuild

            return rebuild(bundle, found)
    raise BundleError(
        f"{method} needs the network's weights, and the bundle {str(bundle.path)!r} holds none",
        got=f"a bundle without {WEIGHTS}",
        expected="the run folder that it was trained in (checkpoint/best.safetensors), or a bundle made with --keep-weights",
        fix="name the run folder in place of the bundle; " + _without_weights(BundleSubject(bundle)),
    )


@contextmanager
def weights_of(path: Path) -> Iterator[Path | None]:
    """The weights of the bundle that was read from `path`, as a file: in it, or in the run that holds it; None where there are none.

    Raises:
        BundleError: It is a zip that cannot be read.
    """
    if not path.is_dir():
        with TemporaryDirectory() as temporary:
            unpacked = Path(temporary) / WEIGHTS
            yield unpacked if unpack_weights(path, unpacked) else None
        return
    folder = path if (path / "bundle.json").is_file() else path / "bundle"
    places = [folder / WEIGHTS, folder.resolve().parent.joinpath(*_IN_RUN)]
    yield next((place for place in places if place.is_file()), None)


def _without_weights(subject: BundleSubject) -> str:
    can = [entry.name for entry in METHODS if subject.offers.issuperset(entry.info.needs)]
    return f"or take a method that does without: {', '.join(can)}"


def _of_module(model: Any, layer: str | None, class_names: Sequence[str]) -> Subject:
    from torch import nn

    if not isinstance(model, nn.Module):
        raise InputError(
            "that is no model", got=type(model).__name__, expected="a run folder, a bundle, or a torch network (nn.Module)",
            fix='for example fovea.explain("run", "photo.jpg")',
        )  # fmt: skip
    from fovea.explain.network_subject import NetworkSubject

    return NetworkSubject(model, layer=layer, class_names=class_names)
