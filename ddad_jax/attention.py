"""L1. Attention by the fastest program that a device has for it."""

import jax
import jax.numpy as jnp

from ddad_jax.errors import InputError
from ddad_jax.types import Array

ATTENTION = ("auto", "plain")
"""How attention is computed; equal but for rounding (``attention``)."""


def attention(q: Array, k: Array, v: Array, how: str = "auto") -> Array:
    """softmax(q k^T / sqrt(d)) v, softmax in float32; all [b, n, heads, d].

    "plain" writes the n^2 logits in float32: 16 MiB an image and call at 32 px with four heads. "auto" is cuDNN's flash
    attention, which never does, where that exists: on an NVIDIA GPU of compute capability 8.0 or later, for types of 16
    bits, a d that is a multiple of 8 up to 128, and a batch of known size (a program that is exported for any has to
    run elsewhere, too). Everywhere else it is "plain".

    Raises:
      InputError: a ``how`` that is none of ATTENTION.
    """
    if how not in ATTENTION:
        raise InputError(f"attention = {how!r}: expected one of {', '.join(ATTENTION)}")
    d = q.shape[-1]
    fits = q.dtype.itemsize == 2 and d % 8 == 0 and d <= 128 and isinstance(q.shape[0], int)
    if how == "auto" and fits and _has_flash_attention():
        return jax.nn.dot_product_attention(q, k, v, implementation="cudnn")
    # Not the library's own formula, whose gradient takes a CPU two to three times as long.
    scale = d**-0.25
    logits = jnp.einsum("bqhd,bkhd->bhqk", q * scale, k * scale, preferred_element_type=jnp.float32)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits).astype(v.dtype), v)


def _has_flash_attention() -> bool:
    device = jax.local_devices()[0]
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return False
    major, _, minor = str(device.compute_capability).partition(".")
    return (int(major), int(minor or 0)) >= (8, 0)
