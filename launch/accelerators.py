"""L8. What accelerators can do at best, as their makers publish it, and what share of it a plan assumes."""

from collections.abc import Sequence
from typing import NamedTuple

from ddad_jax.errors import InputError


class Accelerator(NamedTuple):
    """tflops: published dense peak of matrix products by the type of a config, in 1e12 operations a second, two of
    them a multiply-add. memory: GB. names: parts of what JAX calls it (``Device.device_kind``). source: of the figures.
    """

    tflops: dict[str, float]
    memory: float
    names: tuple[str, ...]
    source: str

    def rate(self, dtype: str) -> float:
        """Multiply-adds a second at the published peak; a type without a figure of its own runs as float32."""
        return 0.5e12 * self.tflops.get(dtype, self.tflops["float32"])


# float32: as JAX multiplies it by default. Ampere and later take TF32, TPUs one pass of bfloat16, a T4 plain float32
# (and bfloat16, which it lacks, likewise). Sparsity is left out.
TABLE = {
    "A100": Accelerator(
        {"float32": 156.0, "bfloat16": 312.0, "float16": 312.0}, 80.0, ("A100",),
        "NVIDIA A100 80GB SXM datasheet",
    ),
    "H100": Accelerator(
        {"float32": 494.7, "bfloat16": 989.4, "float16": 989.4}, 80.0, ("H100",),
        "NVIDIA H100 SXM, Hopper architecture whitepaper",
    ),
    "L4": Accelerator(
        {"float32": 60.0, "bfloat16": 121.0, "float16": 121.0}, 24.0, ("L4",),
        "NVIDIA L4 datasheet, halved: it states sparse rates",
    ),
    "T4": Accelerator({"float32": 8.1, "float16": 65.0}, 16.0, ("T4",), "NVIDIA T4 datasheet"),
    "RTX3090": Accelerator(
        {"float32": 35.6, "bfloat16": 71.0, "float16": 71.0}, 24.0, ("RTX 3090",),
        "NVIDIA GA102 whitepaper, sums in float32",
    ),
    "TPUv4": Accelerator({"float32": 275.0, "bfloat16": 275.0}, 32.0, ("TPU v4",), "Google Cloud TPU v4, a chip"),
    "TPUv5e": Accelerator(
        {"float32": 197.0, "bfloat16": 197.0}, 16.0, ("TPU v5 lite", "TPU v5e"), "Google Cloud TPU v5e, a chip"
    ),
    "TPUv5p": Accelerator(
        {"float32": 459.0, "bfloat16": 459.0}, 95.0, ("TPU v5p", "TPU v5"), "Google Cloud TPU v5p, a chip"
    ),
    "TPUv6e": Accelerator(
        {"float32": 918.0, "bfloat16": 918.0}, 32.0, ("TPU v6 lite", "TPU v6e"), "Google Cloud TPU v6e, a chip"
    ),
}  # fmt: skip

ASSUMED_SHARE = 0.2
"""Of the peak that the networks are assumed to reach on an accelerator none was measured on: a guess, for convolutions
of few channels fill a matrix unit badly. A share measured on a CPU says nothing of it and is not carried over."""


def named(name: str) -> Accelerator:
    """An entry of the table by its name, whatever its case.

    Raises:
      InputError: there is none.
    """
    for known, entry in TABLE.items():
        if known.lower() == name.replace("-", "").replace(" ", "").replace("_", "").lower():
            return entry
    raise InputError(f"--accelerator={name}: expected all, or some of {', '.join(TABLE)}; others can be measured on")


def asked(names: Sequence[str]) -> list[str]:
    """Those of a flag; ``all`` stands for the whole table, and so does no name.

    Raises:
      InputError: as ``named``.
    """
    if not names or any(name.lower() == "all" for name in names):
        return list(TABLE)
    for name in names:
        named(name)
    return list(names)


def of_device(kind: str) -> str | None:
    """The name in the table of what JAX calls ``kind``; None for a CPU or one that is not in it."""
    matches = [(len(part), name) for name, entry in TABLE.items() for part in entry.names if _holds(kind, part)]
    return max(matches)[1] if matches else None


def _holds(kind: str, part: str) -> bool:
    """Whole words: an L40 is no L4."""
    return f" {part.lower()} " in f" {kind.lower().replace('-', ' ')} "
