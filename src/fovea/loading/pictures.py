"""Pictures as a model takes them: decoded whole, brought to its square, and kept in a file that is mapped into memory."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fovea.data import Source, decode
from fovea.data.facts import picture_facts
from fovea.errors import UnreadableImage, writing
from fovea.files import cache_folder
from fovea.loading.parallel import chunks, map_ordered
from fovea.progress import Progress
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Item, PictureFacts, Pixels

CHECK_SIDE_PX = 224  # no smaller than most models see, so that what a training has measured serves the audit, and the other way round
_TURN = 16  # pictures a turn of a thread
_KEEP = 512  # facts that are handed on at once


@dataclass(frozen=True)
class Pictures:
    """`pixels[i]` is item i, uint8 (N, S, S, 3); it is black where `problems` names i. `facts` are by content hash."""

    pixels: Pixels
    facts: dict[str, PictureFacts]
    problems: dict[int, UnreadableImage]


def load_picture(source: Source, item: Item, preprocessing: Preprocessing) -> tuple[Pixels | None, PictureFacts | UnreadableImage]:
    """One picture, decoded whole and brought to the model's square; or None with the reason."""
    try:
        decoded = decode(source.read(item), path=item.path, min_side_px=preprocessing.min_side_px)
    except UnreadableImage as problem:
        return None, problem
    return preprocessing.apply(decoded.pixels), picture_facts(decoded, min_side_px=preprocessing.min_side_px)


def load_pictures(source: Source, items: Sequence[Item], hashes: Sequence[str], *, preprocessing: Preprocessing) -> Pictures:
    """All items in their order; an item whose hash is "" is passed over.

    The pixels lie in a nameless file in the cache folder, not in memory: the system keeps what is in use, and removes
    the file when the process ends, however it ends.
    """
    size = preprocessing.size_px
    facts: dict[str, PictureFacts] = {}
    problems: dict[int, UnreadableImage] = {}
    todo = [index for index, content in enumerate(hashes) if content]
    folder = cache_folder()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix="pictures-") as file:
            num_bytes = max(1, len(items) * size * size * 3)
            _reserve(file.fileno(), num_bytes)
            pixels = (
                np.memmap(file, np.uint8, "r+", shape=(len(items), size, size, 3)) if len(items) else np.zeros((0, size, size, 3), np.uint8)
            )

    def look(turn: range) -> list[tuple[int, PictureFacts | UnreadableImage]]:
        found = []
        for index in (todo[place] for place in turn):
            square, fact = load_picture(source, items[index], preprocessing)
            if square is not None:
                pixels[index] = square
            found.append((index, fact))
        return found

    with Progress("decoding pictures", total=len(todo)) as bar:
        for done in map_ordered(look, chunks(len(todo), _TURN)):
            for index, fact in done:
                if isinstance(fact, UnreadableImage):
                    problems[index] = fact
                else:
                    facts[hashes[index]] = fact
            bar.advance(len(done))
    return Pictures(pixels, facts, problems)


def check_pictures(
    source: Source,
    items: Sequence[Item],
    hashes: Sequence[str],
    *,
    known: Mapping[str, PictureFacts],
    keep: Callable[[Mapping[str, PictureFacts]], None] = lambda facts: None,
) -> tuple[dict[str, PictureFacts], dict[int, UnreadableImage]]:
    """Decodes every picture whole, keeps nothing of it but its facts (by content hash), and names those that are broken.

    Equal files are decoded once. Memory does not grow with the size of the pictures, nor with their thumbnails.

    Args:
        source: Gives the bytes.
        items: The pictures.
        hashes: Their content hashes; an item with "" is passed over (its problem is known already).
        known: Facts of contents that were decoded whole before, at this `CHECK_SIDE_PX`; they are not decoded again.
        keep: Takes new facts with their thumbnails, some hundreds at a time: a killed run has lost no more than these.
    """
    facts = dict(known)
    problems: dict[int, UnreadableImage] = {}
    first_of = {content: index for index, content in reversed(list(enumerate(hashes))) if content and content not in known}
    todo = sorted(first_of.values())
    broken: dict[str, UnreadableImage] = {}
    new: dict[str, PictureFacts] = {}

    def look(turn: range) -> list[tuple[int, PictureFacts | UnreadableImage]]:
        return [(todo[place], _facts(source, items[todo[place]])) for place in turn]

    with Progress("decoding pictures", total=len(todo)) as bar:
        for done in map_ordered(look, chunks(len(todo), _TURN)):
            for index, fact in done:
                if isinstance(fact, UnreadableImage):
                    broken[hashes[index]] = fact
                else:
                    new[hashes[index]] = fact
                    facts[hashes[index]] = replace(fact, thumbnail=None)
            if len(new) >= _KEEP:
                keep(new)
                new = {}
            bar.advance(len(done))
    if new:
        keep(new)
    for index, content in enumerate(hashes):
        if content in broken:
            problems[index] = same_problem(broken[content], items[first_of[content]].path, items[index].path)
    return facts, problems


def _facts(source: Source, item: Item) -> PictureFacts | UnreadableImage:
    try:
        decoded = decode(source.read(item), path=item.path, min_side_px=CHECK_SIDE_PX)
    except UnreadableImage as problem:
        return problem
    return picture_facts(decoded, min_side_px=CHECK_SIDE_PX)


def same_problem(problem: UnreadableImage, was: str, path: str) -> UnreadableImage:
    """The problem of an equal file, with its own path in the message."""
    return UnreadableImage(problem.problem.replace(was, path), got=problem.got, expected=problem.expected, fix=problem.fix)


def _reserve(handle: int, num_bytes: int) -> None:
    """Takes the room on the disk now: a full disk is an error here, and not a crash when a mapped page is written."""
    import os

    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, num_bytes)
    else:
        os.ftruncate(handle, num_bytes)
