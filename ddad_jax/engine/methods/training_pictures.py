"""The pictures of a training where its program finds them: all of them on the device as uint8 where they fit, else the
next batches, which a thread puts there while the device computes."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data import to_float
from ddad_jax.data.batches import batch_indices
from ddad_jax.engine.settings.training import DeviceSettings
from ddad_jax.mesh import copied, over_rows, own_rows, shard_rows
from ddad_jax.types import Array

T = TypeVar("T")


class Batches(NamedTuple):
    """What a program takes for up to ``most`` batches of b pictures [h, w, c].

    pictures: uint8, all of them [n, h, w, c], or these batches, a tuple of ``most`` [b, h, w, c]. at: which of all are
    in each batch, int32 [most, b]; [most, 0] where they are streamed. coins: which are mirrored, bool [most, 2, b].
    """

    pictures: Array | tuple[Array, ...]
    at: Array
    coins: Array

    def only(self, i: int) -> "Batches":
        """For a program that looks at batch ``i`` alone: no other one is streamed to it."""
        return self._replace(pictures=self.pictures[i : i + 1]) if isinstance(self.pictures, tuple) else self


class Fed(NamedTuple):
    """most: batches at once. batches: (number of the first one, how many) -> what the program takes."""

    most: int
    batches: Callable[[int, int], Batches]


class Ahead(Generic[T]):
    """make(first), make(first + 1), ..., each made in a thread before it is asked for, at most ``many`` of them."""

    def __init__(self, make: Callable[[int], T], first: int, many: int) -> None:
        self._make, self._number = make, first
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._made: deque[Future[T]] = deque()
        for _ in range(many):
            self._begin()

    def _begin(self) -> None:
        self._made.append(self._pool.submit(self._make, self._number))
        self._number += 1

    def __call__(self) -> T:
        """The next one; what ``make`` raised for it is raised here."""
        made = self._made.popleft().result()
        self._begin()
        return made

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def fed(
    images: np.ndarray, batch_size: int, seed: int, flips: str, device: DeviceSettings, mesh: Mesh | None
) -> Iterator[Fed]:
    """The batches of ``batch_indices``, mirrored as ``coins_of`` says.

    Args:
      images: uint8 [n, h, w, c]; every process has all. batch_size: over all devices, a multiple of their number.
      flips: "", "h", "v" or "hv".
    """
    n, own = len(images), own_rows(batch_size, mesh)
    of_batch, allowed = batch_size * images[0].nbytes, device.pictures_mib * 2**20
    resident = fits(images, allowed)
    # Streamed ones lie there three times: those of the program, its own copy, and the next.
    most = device.dispatch if resident else max(1, min(device.dispatch, allowed // (3 * of_batch)))

    def drawn(step: int) -> np.ndarray:
        return batch_indices(step, n, batch_size, seed)[own]

    def coins(first: int, count: int) -> Array:
        rows = np.zeros((most, 2, own.stop - own.start), bool)
        for i in range(count if flips else 0):
            rows[i] = coins_of(seed, first + i, batch_size)[:, own]
        return shard_rows(rows, mesh, axis=2)

    if resident:
        pictures: Any = copied(images, mesh) if mesh else jnp.asarray(images)

        def chosen(first: int, count: int) -> Batches:
            at = np.zeros((most, own.stop - own.start), np.int32)
            for i in range(count):
                at[i] = drawn(first + i)
            return Batches(pictures, shard_rows(at, mesh, axis=1), coins(first, count))

        yield Fed(most, chosen)
        return

    streams: list[Ahead[Array]] = []

    def streamed(first: int, count: int) -> Batches:
        if not streams:
            streams.append(Ahead(lambda step: shard_rows(images[drawn(step)], mesh), first, most))
        ready = [streams[0]() for _ in range(count)]
        # The program has a place for ``most``; what stands in those behind is not looked at.
        return Batches((*ready, *ready[-1:] * (most - count)), jnp.zeros((most, 0), jnp.int32), coins(first, count))

    try:
        yield Fed(most, streamed)
    finally:
        for stream in streams:
            stream.close()


def fits(images: np.ndarray, allowed: int) -> bool:
    """allowed: bytes of the device."""
    return images.nbytes <= allowed


def coins_of(seed: int, step: int, batch_size: int) -> np.ndarray:
    """Whether each picture of a batch is mirrored sideways and upside down, bool [2, b]: a function of seed and step.
    The papers augment nothing."""
    return np.random.default_rng([seed, step, 1]).random((2, batch_size)) < 0.5


def batch_fn(batches: Batches, flips: str, mesh: Mesh | None = None) -> Callable[[Array], Array]:
    """i -> batch i as the networks see it, float32 [b, h, w, c] in [-1, 1]; on the device, within its program."""
    every, at, coins = batches
    if isinstance(every, tuple):
        streamed = jnp.stack(every)

    def batch(i: Array) -> Array:
        x: Array = streamed[i if len(streamed) > 1 else 0] if isinstance(every, tuple) else every[at[i]]
        if mesh is not None:
            x = jax.lax.with_sharding_constraint(x, over_rows(mesh, ndim=x.ndim))
        sideways, upside_down = coins[i, :, :, None, None, None]
        if "h" in flips:
            x = jnp.where(sideways, x[:, :, ::-1], x)
        if "v" in flips:
            x = jnp.where(upside_down, x[:, ::-1], x)
        return to_float(x)

    return batch
