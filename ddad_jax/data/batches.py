"""L1. Which pictures go into which batch: always one shape, a pure function of numbers a run can repeat."""

import zlib
from collections.abc import Iterator

import numpy as np

from ddad_jax.errors import InputError


def padded_batches(n: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every picture once, in order, in batches of one shape, so that evaluation compiles once.

    Args:
      n: number of pictures, >= 0.
      batch_size: >= 1.

    Yields:
      (indices, valid): int32 [batch_size] in 0..n-1 and bool [batch_size]; where ``valid`` is False the index
      repeats the last picture and its result must be dropped.

    Raises:
      InputError: batch_size below 1.
    """
    _require_positive(batch_size)
    for start in range(0, n, batch_size):
        positions = np.arange(start, start + batch_size, dtype=np.int32)
        yield np.minimum(positions, n - 1), positions < n


def batch_indices(step: int, n: int, batch_size: int, seed: int) -> np.ndarray:
    """The batch of one training step, from an endless row of permutations of all pictures.

    index_j = pi_{seed, p div n}(p mod n),  p = step batch_size + j.

    A pure function of its arguments, so a resumed run sees the same batches. Any n steps use every
    picture batch_size times; a set smaller than a batch runs through several permutations.
      Deviation: the published loader drops the last partial batch of every epoch, which leaves
      pictures out and does nothing at all when n < batch_size; `epoch_order` with wrap=False does the same.

    Args:
      step: of training, >= 0.
      n: number of pictures, >= 1.
      batch_size: >= 1.
      seed: of the permutations.

    Returns:
      int32 [batch_size] in 0..n-1. A batch that crosses the end of a permutation may hold a picture twice.

    Raises:
      InputError: no pictures; batch_size below 1.
    """
    _require_pictures(n)
    _require_positive(batch_size)
    position = step * batch_size + np.arange(batch_size, dtype=np.int64)
    epochs, places = position // n, position % n
    rows = {epoch: _permutation(n, int(epoch), seed) for epoch in np.unique(epochs)}
    return np.array([rows[e][p] for e, p in zip(epochs, places, strict=True)], np.int32)


def epoch_order(n: int, batch_size: int, epoch: int, seed: int, *, wrap: bool = True) -> np.ndarray:
    """All batches of one epoch: one permutation, its last partial batch dropped as in the published code.

    Args:
      n: number of pictures, >= 1.
      batch_size: >= 1.
      epoch: >= 0; its permutation depends on nothing else but ``seed`` and ``n``.
      seed: of the permutations.
      wrap: when n < batch_size, fill one batch by repeating the permutation.
        Deviation: the published loader then gives no batch, and training silently does nothing;
        False does the same.

    Returns:
      int32 [max(n // batch_size, 1), batch_size] in 0..n-1; with wrap=False [n // batch_size, batch_size].

    Raises:
      InputError: no pictures; batch_size below 1.
    """
    _require_pictures(n)
    _require_positive(batch_size)
    order = _permutation(n, epoch, seed)
    n_batches = n // batch_size
    if n_batches == 0 and wrap:
        return np.resize(order, (1, batch_size))
    return order[: n_batches * batch_size].reshape(n_batches, batch_size)


def image_seed(image: np.ndarray) -> np.uint32:
    """A seed of the picture's own content, so that its noise does not depend on its place or batch mates.

    Args:
      image: uint8 [h, w, 3].

    Returns:
      uint32, the CRC-32 of its bytes; equal pictures get equal noise.
    """
    return np.uint32(zlib.crc32(np.ascontiguousarray(image).data))


def _permutation(n: int, epoch: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(n).astype(np.int32)


def _require_positive(batch_size: int) -> None:
    if batch_size < 1:
        raise InputError(f"batch size {batch_size}: expected at least 1.")


def _require_pictures(n: int) -> None:
    if n < 1:
        raise InputError("there are no training images to make a batch of. Add normal pictures to train/good.")
