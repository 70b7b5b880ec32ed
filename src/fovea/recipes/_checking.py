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
    subject: Subject, pictures: Sequence[tuple[Pixels, Floats | None]], methods: Sequence[str], *, target: int | None = None, seed: int = 0
) -> Check:
    """Measures methods on up to 20 pictures, spread over those given.

    Args:
        subject: The model; where it is a network in torch, the check with random weights is made too.
        pictures: uint8 (S, S, 3) each, as the model sees them, with the boxes (N, 4) of what is explained, in the same pixels, where they are known.
        methods: Names of methods that can be used on it.
        target: What is explained; None takes the most probable of each picture.
        seed: Of everything that is drawn by chance.
    """
    step = max(1, -(-len(pictures) // MOST_CHECKED))
    chosen = list(range(0, len(pictures), step))
    subject.find(pictures[0][0])
    randomised = _randomised(subject, seed)
    judged = []
    for index in chosen:
        pixels, boxes = pictures[index]
        subject.find(pixels)
        asked = int(subject.answer(pixels[None])[0].argmax()) if target is None else target
        judged.append(
            Judged(
                pixels,
                _score(subject, asked),
                _explainers(subject, methods, asked, seed),
                boxes,
                [(layer, _explainers(other, methods, asked, seed)) for layer, other in randomised],
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
