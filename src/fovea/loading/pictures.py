"""Pictures decoded whole, each content once: for what a model takes of them, or for what is to be known of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from fovea.data import Source, decode
from fovea.data.facts import picture_facts
from fovea.errors import UnreadableImage
from fovea.loading.parallel import chunks, map_ordered
from fovea.progress import Progress
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Item, PictureFacts, Pixels

CHECK_SIDE_PX = 224  # no smaller than most models see, so that what a training has measured serves the audit, and the other way round
_TURN = 16  # pictures a turn of a thread
_KEEP = 512  # facts that are handed on at once


def load_picture(source: Source, item: Item, preprocessing: Preprocessing) -> tuple[Pixels | None, PictureFacts | UnreadableImage]:
    """One picture, decoded whole and brought to the model's square; or None with the reason."""
    try:
        decoded = decode(source.read(item), path=item.path, min_side_px=preprocessing.min_side_px)
    except UnreadableImage as problem:
        return None, problem
    return preprocessing.apply(decoded.pixels), picture_facts(decoded, min_side_px=preprocessing.min_side_px)


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
    new, problems = look_once(
        items, hashes, [row for row, content in enumerate(hashes) if content not in known], lambda row: _facts(source, items[row]), keep
    )
    return dict(known) | new, problems


def look_once(
    items: Sequence[Item],
    hashes: Sequence[str],
    rows: Iterable[int],
    look: Callable[[int], PictureFacts | UnreadableImage],
    note: Callable[[Mapping[str, PictureFacts]], None],
) -> tuple[dict[str, PictureFacts], dict[int, UnreadableImage]]:
    """Calls `look` for the first of the rows of each content, in threads.

    Args:
        items, hashes: Of all rows; a row whose hash is "" is passed over.
        rows: Those that are to be looked at.
        look: Gives the facts of a row, with their thumbnail, or why there are none.
        note: Takes facts with their thumbnails, some hundreds at a time.

    Returns:
        Facts by content hash, without thumbnails; and problems of all rows of a content that has one, by row.
    """
    first: dict[str, int] = {}
    for row in rows:
        if hashes[row]:
            first.setdefault(hashes[row], row)
    todo, facts, new, broken = list(first.values()), dict[str, PictureFacts](), dict[str, PictureFacts](), dict[str, UnreadableImage]()
    with Progress("decoding pictures", total=len(todo)) as bar:
        for done in map_ordered(lambda turn: [(hashes[todo[place]], look(todo[place])) for place in turn], chunks(len(todo), _TURN)):
            for content, found in done:
                if isinstance(found, UnreadableImage):
                    broken[content] = found
                else:
                    new[content], facts[content] = found, replace(found, thumbnail=None)
            if len(new) >= _KEEP:
                note(new)
                new = {}
            bar.advance(len(done))
    if new:
        note(new)
    problems = {
        row: same_problem(broken[content], items[first[content]].path, items[row].path)
        for row, content in enumerate(hashes)
        if content in broken
    }
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
