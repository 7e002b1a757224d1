"""L1. Every device as one row: rows of a batch are cut over it, everything else is copied to each of its devices.

A mesh of None stands for the one default device: arrays then stay where they are and nothing here costs anything.
Several processes (hosts) each run the same program, hand over their own rows, and read the same results.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ddad_jax.errors import InputError

AXIS = "rows"


def device_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh | None:
    """The devices in one row; None for a single one.

    Args:
      devices: of every process, as many of each; None for all there are. Those of one process come to lie side by
        side, so that its share of a batch is one piece.
    """
    row = sorted(jax.devices() if devices is None else devices, key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(row), (AXIS,), axis_types=(AxisType.Auto,)) if len(row) > 1 else None


def rounded_up(n: int, mesh: Mesh | None) -> int:
    """The smallest multiple of the number of devices from ``n`` on: a batch that can be cut."""
    devices = mesh.size if mesh else 1
    return -(-n // devices) * devices


def own_rows(n: int, mesh: Mesh | None) -> slice:
    """Which of the ``n`` rows of a batch this process hands over, ``n`` a multiple of the number of devices."""
    if mesh is None:
        return slice(0, n)
    ours = [index[0].indices(n) for index in over_rows(mesh).addressable_devices_indices_map((n,)).values() if index]
    return slice(min(first for first, _, _ in ours), max(last for _, last, _ in ours))


def over_rows(mesh: Mesh, axis: int = 0, ndim: int = 1) -> NamedSharding:
    """``axis`` of an array of ``ndim`` axes cut over the devices."""
    spec: list[str | None] = [None] * ndim
    spec[axis] = AXIS
    return NamedSharding(mesh, PartitionSpec(*spec))


def everywhere(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def shard_rows(rows: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """Each process's own rows as one array over all devices.

    Args:
      rows: tree of host arrays, ``axis`` of each holding ``own_rows``.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, rows)

    def of(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(over_rows(mesh, axis, np.ndim(array)), array)

    return jax.tree.map(of, rows)


def copied(tree: Any, mesh: Mesh | None) -> Any:
    """The same arrays on every device; every process must hand over equal ones."""
    if mesh is None:
        return tree
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(everywhere(mesh), np.asarray(a)), tree)


def jit_rows(function: Callable[..., Any], mesh: Mesh | None, *, gathered: bool | None = None, **how: Any) -> Any:
    """``jax.jit(function, **how)`` for a function whose results are, as its arguments, rows of a batch.

    No row needs another, so the devices never talk, but for one thing: where the mesh spans several processes,
    each of them can read only what is on its own devices, and the results are gathered on all, once a call.

    Args:
      gathered: whether every device is given all rows of the results; None: where the mesh spans several processes.
    """
    if mesh is None:
        return jax.jit(function, **how)
    if gathered is None:
        gathered = len({device.process_index for device in mesh.devices.flat}) > 1

    @functools.wraps(function)
    def cut(*args: Any, **named: Any) -> Any:
        # Said here, too, lest the gathering at the end be taken for a wish to compute everything everywhere.
        return jax.lax.with_sharding_constraint(function(*args, **named), over_rows(mesh))

    return jax.jit(cut, out_shardings=everywhere(mesh) if gathered else over_rows(mesh), **how)


def require_work(n: int, mesh: Mesh | None, *, what: str, mend: str) -> None:
    """Every device must have something to do.

    Raises:
      InputError: fewer rows (``what`` they are) than devices; ``mend`` says how to have more.
    """
    if mesh is not None and n < mesh.size:
        raise InputError(
            f"{n} {what} for {mesh.size} devices: expected at least one for each. {mend}, "
            "or use fewer devices (--num_processes, CUDA_VISIBLE_DEVICES)"
        )
