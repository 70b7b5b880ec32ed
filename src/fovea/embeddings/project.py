"""Embeddings on a plane, to look at: principal components, or t-SNE where it is asked for."""

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Coordinates = npt.NDArray[np.float64]

KEPT = 50  # principal coordinates that t-SNE begins with, as van der Maaten and Hinton (2008, JMLR 9) do
_PERPLEXITY = 30.0  # neighbours that each point keeps near, their own choice


def principal(vectors: npt.ArrayLike, *, most: int = KEPT) -> tuple[Coordinates, Coordinates]:
    """(N, D) -> (N, k) coordinates along the directions of most variation, and (k,) the share of it that each keeps, 0 to 1.

    k is at most `most`, N and D. The sign of each direction is fixed, so that the same vectors give the same picture anywhere.
    """
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(axis=0)
    with threadpool_limits(1, user_api="blas"):  # of so few vectors; several threads would wait for one another
        if centred.any() and most < min(centred.shape) / 4:
            left, sizes = _first(centred, most)
        else:
            left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = left[:, :most] * sizes[:most]
    signs = np.sign(coordinates[np.abs(coordinates).argmax(axis=0), np.arange(coordinates.shape[1])])
    total = float(np.square(centred).sum())
    return coordinates * np.where(signs == 0, 1.0, signs), sizes[:most] ** 2 / total if total else np.zeros(len(sizes[:most]))


def _first(centred: Coordinates, most: int) -> tuple[Coordinates, Coordinates]:
    """The left directions (N, most) and sizes (most,) of the largest singular values, which takes a fraction of the time of all."""
    from scipy.sparse.linalg import svds

    begin = np.ones(min(centred.shape), np.float32)  # not by chance; single precision is enough to look at, and twice as quick
    left, sizes, _ = svds(centred.astype(np.float32), k=most, v0=begin, return_singular_vectors="u", tol=1e-4)
    order = np.argsort(-sizes)
    return left[:, order].astype(np.float64), sizes[order].astype(np.float64)


def neighbourly(coordinates: npt.ArrayLike, *, seed: int) -> Coordinates:
    """(N, k) -> (N, 2) by t-SNE, which keeps neighbours near; distances and the sizes of clusters mean nothing on it.

    Fewer than 5 points are left where their first two coordinates put them.
    """
    found = np.asarray(coordinates, np.float64)
    if len(found) < 5:
        return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))[:, :2]
    from sklearn.manifold import TSNE  # its import takes more than a second, which only those wait for who ask

    spread = found[:, :1].std() or 1.0
    start = np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))[:, :2] / spread * 1e-4
    placed: Coordinates = TSNE(2, perplexity=min(_PERPLEXITY, (len(found) - 1) / 3), init=start, random_state=seed).fit_transform(found)
    return placed
