"""Every picture through the backbone once: decode and infer side by side in threads, keep the vectors, name what is broken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fovea.data import Source
from fovea.embeddings.embedder import TURN, Embedder
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import UnreadableImage
from fovea.loading.parallel import chunks, map_ordered
from fovea.loading.pictures import load_picture, same_problem
from fovea.progress import Progress
from fovea.types import Floats, Item, PictureFacts

_KEEP = 256  # vectors a transaction: what a killed run may have to compute again


@dataclass(frozen=True)
class Embedded:
    """Vectors of the pictures that could be read. `vectors[i]` belongs to item i, and is zero where `problems` names i."""

    vectors: Floats  # (N, D)
    facts: dict[str, PictureFacts]  # by content hash
    problems: dict[int, UnreadableImage]
    num_from_store: int


def embed(source: Source, items: Sequence[Item], hashes: Sequence[str], *, embedder: Embedder, store: EmbeddingStore) -> Embedded:
    """The embedding of each item, from the store where it is known, else computed and kept.

    A picture is decoded whole before it counts as readable; equal files are computed once. The result does not depend
    on the number of threads, nor on what was in the store before.

    Args:
        source: Gives the bytes.
        items: The pictures.
        hashes: Their content hashes; an item with "" is passed over (its problem is known already).
    """
    facts = store.get_facts(hashes, min_side_px=embedder.preprocessing.min_side_px)
    # what an earlier version of Fovea measured otherwise is looked at again, with its vector
    known = {content: vector for content, vector in store.get(embedder.space, hashes).items() if content in facts}
    facts = {content: facts[content] for content in known}
    num_from_store = sum(content in known for content in hashes)
    first_of = {content: index for index, content in reversed(list(enumerate(hashes))) if content and content not in known}
    todo = sorted(first_of.values())
    broken: dict[str, UnreadableImage] = {}

    def look(turn: range) -> list[tuple[str, Floats | None, PictureFacts | UnreadableImage]]:
        decoded = [(hashes[i], *load_picture(source, items[i], embedder.preprocessing)) for i in (todo[j] for j in turn)]
        whole = [pixels for _, pixels, _ in decoded if pixels is not None]
        vectors = iter(embedder.engine(np.stack(whole), ("embedding",))["embedding"] if whole else ())
        return [(content, None if pixels is None else next(vectors), fact) for content, pixels, fact in decoded]

    if todo:
        _ = embedder.engine  # opened once, before the threads ask for it
    with Progress("looking at pictures", total=len(todo)) as bar:
        new_vectors: dict[str, Floats] = {}
        new_facts: dict[str, PictureFacts] = {}
        for done in map_ordered(look, chunks(len(todo), TURN)):
            for content, vector, fact in done:
                if isinstance(fact, UnreadableImage):
                    broken[content] = fact
                elif vector is not None:
                    new_vectors[content], new_facts[content] = vector, fact
            if len(new_vectors) >= _KEEP:
                _keep(store, embedder, new_vectors, new_facts, known, facts)
            bar.advance(len(done))
        _keep(store, embedder, new_vectors, new_facts, known, facts)

    dimension = len(next(iter(known.values()))) if known else embedder.body.backbone.num_features
    vectors = np.zeros((len(items), dimension), np.float32)
    problems: dict[int, UnreadableImage] = {}
    for index, content in enumerate(hashes):
        if content in known:
            vectors[index] = known[content]
        elif content in broken:
            problems[index] = same_problem(broken[content], items[first_of[content]].path, items[index].path)
    return Embedded(vectors, facts, problems, num_from_store)


def _keep(
    store: EmbeddingStore,
    embedder: Embedder,
    vectors: dict[str, Floats],
    facts: dict[str, PictureFacts],
    known: dict[str, Floats],
    known_facts: dict[str, PictureFacts],
) -> None:
    if vectors:
        store.put(embedder.space, vectors, facts)
        known.update(vectors)
        known_facts.update({content: replace(fact, thumbnail=None) for content, fact in facts.items()})
        vectors.clear()
        facts.clear()
