"""`fovea explain --check`: methods measured on the pictures at hand, beside a spot in the middle and heat by chance."""

from collections.abc import Callable, Mapping, Sequence

from fovea.explain.comparison import Check, Judged, check
from fovea.explain.explanation import explain_picture
from fovea.explain.faithfulness import Explainer
from fovea.explain.subject import Subject
from fovea.progress import Progress
from fovea.types import Floats, Pixels

MOST_CHECKED = 20  # pictures: the intervals are then about a quarter as wide as the spread between pictures


def check_methods(
    subject: Subject, pictures: Sequence[Pixels], methods: Sequence[str], *, boxes: Sequence[Floats | None] = (), seed: int = 0
) -> Check:
    """Measures methods on up to 20 pictures, spread over those given.

    Args:
        subject: The model; where it is a network in torch, the check with random weights is made too.
        pictures: uint8 (S, S, 3) each, as the model sees them.
        methods: Names of methods that can be used on it.
        boxes: (N, 4) of each picture where that is known, in its pixels.
        seed: Of everything that is drawn by chance.
    """
    step = max(1, -(-len(pictures) // MOST_CHECKED))
    chosen = list(range(0, len(pictures), step))
    subject.find(pictures[0])
    randomised = _randomised(subject, seed)
    judged = []
    for index in chosen:
        pixels = pictures[index]
        subject.find(pixels)
        target = int(subject.answer(pixels[None])[0].argmax())
        judged.append(
            Judged(
                pixels,
                _score(subject, target),
                _explainers(subject, methods, target, seed),
                boxes[index] if boxes else None,
                [(layer, _explainers(other, methods, target, seed)) for layer, other in randomised],
            )
        )
    with Progress("checking", total=len(judged)) as bar:
        return check(judged, seed=seed, note=lambda: bar.advance(1))


def _score(subject: Subject, target: int) -> Callable[[Pixels], Floats]:
    return lambda pixels: subject.answer(pixels)[:, target]


def _explainers(subject: Subject, methods: Sequence[str], target: int, seed: int) -> Mapping[str, Explainer]:
    def by(method: str) -> Explainer:
        return lambda pixels: explain_picture(subject, pixels, method=method, target=target, seed=seed).heat

    return {method: by(method) for method in methods}


def _randomised(subject: Subject, seed: int) -> list[tuple[str, Subject]]:
    """The same network with random weights in the upper half of its layers, and in all."""
    if "gradients" not in subject.offers:
        return []  # a bundle: there are no weights to change
    from fovea.explain.network_subject import NetworkSubject
    from fovea.explain.randomise import cascade

    if not isinstance(subject, NetworkSubject):
        return []
    layer = subject.layer or None
    return [(down_to, NetworkSubject(module, task=subject.task, layer=layer)) for down_to, module in cascade(subject.module, seed=seed)]
