"""L3. Step rules for the one loop in ``sampler``: each file holds one, as a ``Solver``.

All work on the data prediction x0_hat, which is where conditioning is a blend, so conditioning needs no
solver of its own. They differ in what they remember of earlier steps and in their order.
"""

from ddad_jax.solvers.ddim import DDIM
from ddad_jax.solvers.dpm_solver import DPM_SOLVER_2M
from ddad_jax.solvers.heun import HEUN
from ddad_jax.solvers.sde_dpm_solver import SDE_DPM_SOLVER_2M
from ddad_jax.solvers.step import Solver, Step
from ddad_jax.solvers.unipc import UNIPC_2, UNIPC_3

SOLVERS: dict[str, Solver] = {
    "ddim": DDIM,
    "dpm2m": DPM_SOLVER_2M,
    "unipc2": UNIPC_2,
    "unipc3": UNIPC_3,
    "heun": HEUN,
    "sde_dpm2m": SDE_DPM_SOLVER_2M,
}
"""The names a config may use. One step of any of them is the one-shot prediction x0_hat(x_T', T')."""

__all__ = ["DDIM", "DPM_SOLVER_2M", "HEUN", "SDE_DPM_SOLVER_2M", "SOLVERS", "UNIPC_2", "UNIPC_3", "Solver", "Step"]
