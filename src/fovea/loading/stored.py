"""A data set's pictures at one size: out of the pixel store where they are kept, decoded now where they are not."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fovea.data import Decoded, Source, decode
from fovea.data.facts import picture_facts
from fovea.errors import UnreadableImage
from fovea.files import hash_bytes
from fovea.loading.batches import Arrays
from fovea.loading.margin import Margin
from fovea.loading.pictures import look_once
from fovea.loading.pixel_store import PixelStore
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Ints, Item, PictureFacts, Pixels


class StoredPictures:
    """Row i is picture i, uint8 (S, S, 3), the same whether it was kept or is decoded now. Safe in many threads at once.

    Args:
        store: Where pictures are kept; what is decoded here is put there.
        source: Gives the bytes of those that are not kept.
        items: The pictures.
        hashes: Their content hashes; an item with "" cannot be read and is never asked for.
        preprocessing: From a decoded picture to the square.
    """

    def __init__(
        self, store: PixelStore, source: Source, items: Sequence[Item], hashes: Sequence[str], *, preprocessing: Preprocessing | Margin
    ) -> None:
        self.store, self.source, self.items, self.hashes, self.preprocessing = store, source, items, hashes, preprocessing
        self._rule = store.rule(preprocessing)
        self._places = store.find(self._rule, hashes)
        self._unreadable: set[int] = {row for row, content in enumerate(hashes) if not content}

    def __len__(self) -> int:
        return len(self.items)

    @property
    def size_px(self) -> int:
        return self.preprocessing.size_px

    @property
    def readable(self) -> Ints:
        """The rows that can be read, as far as is known: `keep` finds out."""
        return np.array([row for row in range(len(self)) if row not in self._unreadable], np.int64)

    @property
    def num_kept(self) -> int:
        """How many rows are in the store."""
        return int((self._places.segment >= 0).sum())

    def resized(self, preprocessing: Preprocessing | Margin) -> "StoredPictures":
        """The same pictures at another size."""
        return StoredPictures(self.store, self.source, self.items, self.hashes, preprocessing=preprocessing)

    def read(self, row: int) -> Pixels:
        """One picture, (S, S, 3); do not write to it.

        Raises:
            UnreadableImage: It is not kept, and its file cannot be read any more, or has another content.
            DiskFull: It could be decoded, and not be kept.
        """
        pixels = self.store.read(self._places, row)
        return pixels if pixels is not None else self._make(row)[1]

    def keep(
        self, *, known: Mapping[str, PictureFacts], note: Callable[[Mapping[str, PictureFacts]], None] = lambda facts: None
    ) -> tuple[dict[str, PictureFacts], dict[int, UnreadableImage]]:
        """Decodes whatever is not kept yet, or whose facts are not known; equal files once.

        Args:
            known: Facts by content hash, of earlier looks at this size.
            note: Takes new facts with their thumbnails, some hundreds at a time: a killed run has lost no more than these.

        Returns:
            Facts of all that can be read, by content hash, without thumbnails, and the problems of those that cannot, by row.
        """
        facts = {content: known[content] for content in self.hashes if content in known}
        rows = [row for row, content in enumerate(self.hashes) if self._places.segment[row] < 0 or content not in facts]
        new, problems = look_once(self.items, self.hashes, rows, self._look, note)
        self.flush()
        if rows:  # the other rows of equal files are found now, too
            self._places = self.store.find(self._rule, self.hashes)
        self._unreadable |= set(problems)
        return facts | new, problems

    def flush(self) -> None:
        """Lets later runs and other processes find what was decoded."""
        self.store.flush()

    def _look(self, row: int) -> PictureFacts | UnreadableImage:
        try:
            return picture_facts(self._make(row)[0], min_side_px=self.preprocessing.min_side_px)
        except UnreadableImage as problem:
            return problem

    def _make(self, row: int) -> tuple[Decoded, Pixels]:
        """Reads, decodes and keeps one picture."""
        item, content = self.items[row], self.hashes[row]
        data = self.source.read(item)
        if hash_bytes(data) != content:  # it would be kept, for ever, under the name of another picture
            raise UnreadableImage(
                f"{item.path!r} has changed since it was first looked at",
                got="other bytes than before",
                expected="files that stay as they are while Fovea works with them",
                fix="run the same command again when nothing writes there any more",
            )
        decoded = decode(data, path=item.path, min_side_px=self.preprocessing.min_side_px)
        pixels = self.preprocessing.apply(decoded.pixels)
        if self._places.segment[row] < 0 and (place := self.store.put(self._rule, content, pixels)):
            self._places.set(row, *place, checked=True)  # this process has just written it
        return decoded, pixels


# What a strategy keeps of each picture, and learns from.
Inputs = Arrays | StoredPictures
