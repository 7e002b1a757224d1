"""Parity of one adaptation step with the published implementation: BatchNorm in training, AdamW, every term."""

import functools
import re
from typing import Any

import golden_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.adapt import AdaptState, adapt_step, adaptation_optimiser, init_adapt
from ddad_jax.backbones import get_backbone
from ddad_jax.weights import backbone_variables, to_torch

CASES = golden.cases("domain_adaptation")
IDS = [name for name, _ in CASES]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Step:
    """One published step from the case's inputs: its numbers, and the trees around it under torch's names."""

    def __init__(self, case: dict[str, Any], dtype: Any) -> None:
        inputs = golden.arrays(case["file"])
        net = case["state"].removeprefix("state_").removesuffix(".json")
        frozen = backbone_variables(net, golden.state(case["state"]), source=case["state"])
        frozen, x0, y = jax.tree.map(
            lambda a: jnp.asarray(a, dtype),
            (frozen, golden.nhwc(inputs["x0"]), golden.nhwc(inputs["target"])),
        )
        backbone = get_backbone(net, dtype)
        if dtype == jnp.float64:
            # The constants in float64, too: rounded to float32 they move the gradients by 7e-6.
            mean, std = (np.array(v).reshape(1, 1, 1, 3) for v in (MEAN, STD))
            backbone = backbone._replace(normalise=lambda v: ((v + 1.0) / 2.0 - mean) / std)
        tx = adaptation_optimiser(learning_rate=case["lr"], weight_decay=case["weight_decay"])
        step = jax.jit(
            functools.partial(
                adapt_step,
                backbone=backbone,
                tx=tx,
                lambda_dl=case["lambda"],
                batch_norm="train",
            ),
        )
        before = jax.jit(lambda frozen: init_adapt(frozen, tx))(frozen)
        after, self.metrics = step(before, x0, y, frozen)
        self.loss_after = step(after, x0, y, frozen)[1]["loss"]
        # As NumPy's: JAX would compile a program for each shape of a parameter.
        before, after = jax.device_get((before, after))
        moves = jax.tree.map(lambda a, b: np.asarray(a - b, np.float64), after.params, before.params)
        self.change_norm = np.sqrt(sum((m**2).sum() for m in jax.tree.leaves(moves)))
        self.changed = sum(int(np.count_nonzero(m)) for m in jax.tree.leaves(moves))
        self.after = to_torch(after.variables)
        # After the first step Adam's first moment is 0.1 times the gradient.
        self.grads = to_torch({"params": jax.tree.map(lambda m: m / (1.0 - 0.9), first_moment(after))})

    def named(self, name: str) -> np.ndarray | None:
        """The tensor an array of the case stands for, or None: running_<which>_<module>, grad_<parameter>
        (its ".weight" may be left out), <parameter>_after; dots are underscores."""
        if found := re.fullmatch(r"(running_mean|running_var)_(.+)", name):
            tree, wanted = self.after, {f"{found[2]}_{found[1]}"}
        elif found := re.fullmatch(r"grad_(.+)", name):
            tree, wanted = self.grads, {found[1], f"{found[1]}_weight"}
        elif found := re.fullmatch(r"(.+)_after", name):
            tree, wanted = self.after, {found[1], f"{found[1]}_weight"}
        else:
            return None
        keys = [key for key in tree if key.replace(".", "_") in wanted]
        return tree[keys[0]] if len(keys) == 1 else None


def first_moment(state: AdaptState) -> Any:
    return next(part.mu for part in state.opt_state if hasattr(part, "mu"))


def named_arrays(case: dict[str, Any], suffix: str) -> list[str]:
    """The stored arrays that are tensors of the network, by their names without ``suffix``."""
    names = (n.removesuffix(suffix) for n in golden.arrays(case["file"]) if n.endswith(suffix))
    return [n for n in names if re.match(r"running_|grad_(?!norm)|.+_after$", n)]


@pytest.mark.parametrize("case", [c for _, c in CASES], ids=IDS)
def test_published_step(case: dict[str, Any]) -> None:
    stored, step = golden.arrays(case["file"]), Step(case, jnp.float32)
    golden.assert_close(step.metrics["loss"], stored["loss"], 2e-5)
    terms = np.asarray(step.metrics["terms"], np.float64)
    golden.assert_close(terms, stored["terms_by_layer"], 2e-5)
    golden.assert_close(terms.sum(1), stored["terms"], 2e-5)
    golden.assert_close(step.metrics["grad_norm"], stored["grad_norm"], 2e-3)
    golden.assert_close(step.change_norm, stored["param_change_norm"], 1e-4)
    golden.assert_close(step.changed, stored["params_changed"], 1e-4)
    golden.assert_close(step.loss_after, stored["loss_after_step"], 2e-3)
    names = [n for n in named_arrays(case, "") if not n.endswith("_f64")]
    assert names
    for name in names:
        found = step.named(name)
        assert found is not None, f"{name}: no such tensor"
        expected = stored[name]
        if name.startswith("running_"):
            relative, absolute = 2e-5, 0.0
        elif name.startswith("grad_"):
            relative, absolute = 3e-2, 0.0
        else:
            # A first step is about sign(gradient) lr: where the gradient is noise, it may go either way.
            relative, absolute = 1e-5, 2.1 * case["lr"]
        golden.assert_close(found.reshape(expected.shape), expected, relative, absolute)


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for _, c in CASES], ids=IDS)
def test_published_step_in_float64(case: dict[str, Any]) -> None:
    stored = golden.arrays(case["file"])
    with jax.enable_x64(True):
        step = Step(case, jnp.float64)
        terms = np.asarray(step.metrics["terms"])
        golden.assert_close(terms, stored["terms_by_layer_f64"], 1e-9)
        golden.assert_close(terms.sum(1), stored["terms_f64"], 1e-9)
        for name in ("loss", "grad_norm"):
            golden.assert_close(step.metrics[name], stored[f"{name}_f64"], 1e-8)
        golden.assert_close(step.change_norm, stored["param_change_norm_f64"], 1e-8)
        golden.assert_close(step.loss_after, stored["loss_after_step_f64"], 1e-6)
        names = named_arrays(case, "_f64")
        assert names
        for name in names:
            found, expected = step.named(name), stored[f"{name}_f64"]
            assert found is not None, f"{name}: no such tensor"
            golden.assert_close(found.reshape(expected.shape), expected, 1e-8)
