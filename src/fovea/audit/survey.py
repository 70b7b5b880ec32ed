"""The survey: every picture looked at once, what cannot be used left out, and each of the rest put into its split."""

from dataclasses import dataclass

import numpy as np

from fovea.audit.audit import Audit, examine, leaks_of, with_splits
from fovea.data import Source, assign_splits, check_classes
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import DataError
from fovea.files import hash_json
from fovea.loading.scan import scan
from fovea.loading.stored import Inputs
from fovea.timing import Stopwatch
from fovea.training.strategy import Strategy
from fovea.types import SPLITS, Ints, Item, Split


@dataclass(frozen=True)
class Survey:
    """What a training works with. Row i of everything is picture i of the data.

    Args:
        items: All pictures, those in use with their split.
        inputs: What the strategy kept of each; a row that no split names means nothing.
        rows: The row numbers of each split.
        audit: What was found on the way.
        data_hash: The same for the same pictures, labels and splits, whatever the files are called.
    """

    items: tuple[Item, ...]
    inputs: Inputs
    rows: dict[Split, Ints]
    audit: Audit
    data_hash: str

    @property
    def labels(self) -> list[str]:
        return [item.label or "" for item in self.items]


def survey(source: Source, strategy: Strategy, store: EmbeddingStore, *, seed: int, watch: Stopwatch) -> Survey:
    """Hashes and decodes every picture, leaves out what is broken, assigns splits, and takes leaks out of training.

    Raises:
        DataError: What is left cannot be learned from: a class is gone, or has a single picture.
    """
    with watch("audit_s"):
        seen = scan(source)
    looked = strategy.look(source, seen.items, seen.hashes, store)
    watch.add("decode_s", looked.decode_s)
    watch.add("embed_s", looked.embed_s)
    with watch("audit_s"):
        problems = {**seen.problems, **looked.problems}
        whole = [i for i in range(len(seen.items)) if i not in problems]
        _check_none_gone(source, [seen.items[i] for i in whole])
        splits = assign_splits([seen.items[i] for i in whole], [seen.hashes[i] for i in whole], seed=seed)
        items = list(seen.items)
        for i, item in zip(whole, with_splits([items[i] for i in whole], splits), strict=True):
            items[i] = item
        audit = examine(items, seen.hashes, problems, looked.facts, ignored=source.ignored)
        unused = set(problems) | {i for i, _ in leaks_of(items, seen.hashes)}
        # in the order of the contents, so that renamed files change nothing that is learned
        used = sorted((i for i in whole if i not in unused), key=lambda i: seen.hashes[i])
        rows = {split: np.array([i for i in used if items[i].split == split], np.int64) for split in SPLITS}
        data_hash = hash_json(sorted([seen.hashes[i], items[i].label, items[i].split] for i in whole if i not in unused))
    return Survey(tuple(items), looked.inputs, rows, audit, data_hash)


def _check_none_gone(source: Source, whole: list[Item]) -> None:
    """Whether each class still has the pictures that learning takes, after the broken ones are left out."""
    gone = sorted(set(source.class_names) - {item.label for item in whole})
    if gone:
        raise DataError(
            f"none of the pictures of {gone[0]!r} in {source.location!r} can be read",
            got=f"{len(gone)} classes without a readable picture",
            expected="at least two readable pictures of each class",
            fix="`fovea audit` names each broken file and how to mend it; mend them, or remove the class",
        )
    check_classes(whole, location=source.location)
