"""Answers that took long, kept in the store under everything that they depend on."""

from collections.abc import Mapping

import numpy as np

from fovea.audit.near import NEAR_VERSION, Pair, find_near, near_by_embedding
from fovea.data.facts import FACTS_VERSION
from fovea.embeddings.store import EmbeddingStore, Space
from fovea.files import hash_bytes
from fovea.types import PictureFacts


def near_pairs(store: EmbeddingStore, facts: Mapping[str, PictureFacts], *, space: Space | None = None) -> list[Pair]:
    """The near duplicates among these contents.

    Args:
        store: Holds thumbnails, and earlier answers.
        facts: By content hash.
        space: Where embeddings may point at more of them; None looks at the pictures alone, so that the answer depends on
            nothing but these.
    """
    words = [f"{content} {facts[content].scale}" for content in sorted(facts)]
    key = hash_bytes("near", str(NEAR_VERSION), str(FACTS_VERSION), space.weights_hash + space.preprocessing_key if space else "", *words)
    kept = store.get_answer(key)
    if kept is not None:
        return [Pair(*row) for row in kept]
    neighbours = []
    if space is not None:
        vectors = store.get(space, list(facts))
        contents = sorted(vectors)
        if len(contents) > 1:
            neighbours = near_by_embedding(contents, np.stack([vectors[content] for content in contents]))
    pairs = find_near(facts, store.get_thumbnails, neighbours=neighbours)
    store.put_answer(key, [[pair.first, pair.second, pair.similarity, pair.mirrored] for pair in pairs])
    return pairs
