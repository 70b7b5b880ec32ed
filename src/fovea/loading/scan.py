"""The first look at every file: read and hash, nothing decoded, nothing held."""

from collections.abc import Sequence
from dataclasses import dataclass

from fovea.data import Source
from fovea.errors import UnreadableImage
from fovea.files import hash_bytes
from fovea.loading.parallel import chunks, map_ordered
from fovea.progress import Progress
from fovea.types import Item

_AT_ONCE = 64  # files a turn: enough that threads seldom meet, few enough that memory stays small


@dataclass(frozen=True)
class Scan:
    """What was found: `hashes[i]` is the content hash of `items[i]`, or "" where `problems` has its error."""

    items: tuple[Item, ...]
    hashes: tuple[str, ...]
    problems: dict[int, UnreadableImage]
    num_bytes: int


def scan(source: Source, items: Sequence[Item] | None = None) -> Scan:
    """Hashes the content of every picture, in parallel. 100,000 files take seconds, and a few megabytes."""
    items = source.items if items is None else items

    def look(turn: range) -> list[tuple[str, UnreadableImage | None, int]]:
        found: list[tuple[str, UnreadableImage | None, int]] = []
        for index in turn:
            try:
                content = source.read(items[index])
                found.append((hash_bytes(content), None, len(content)))
            except UnreadableImage as problem:
                found.append(("", problem, 0))
        return found

    hashes: list[str] = []
    problems: dict[int, UnreadableImage] = {}
    num_bytes = 0
    with Progress("reading files", total=len(items)) as bar:
        for found in map_ordered(look, chunks(len(items), _AT_ONCE)):
            for content_hash, problem, size in found:
                if problem is not None:
                    problems[len(hashes)] = problem
                hashes.append(content_hash)
                num_bytes += size
            bar.advance(len(found))
    return Scan(tuple(items), tuple(hashes), problems, num_bytes)
