"""Whether a compiled program writes its new state where the old one was."""

from typing import Any

import jax


def written_in_place(program: Any, state: Any, *args: Any) -> float:
    """Share of the bytes of ``state``, the first argument, that the results of ``program`` (of ``jax.jit``) take."""
    analysis = program.lower(state, *args).compile().memory_analysis()
    return analysis.alias_size_in_bytes / sum(leaf.nbytes for leaf in jax.tree.leaves(state))
