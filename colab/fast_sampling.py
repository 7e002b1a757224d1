# %% [markdown]
# # Fast sampling: how few network calls are enough, and why
#
# [![Open in
# Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ddad-jax/ddad_jax/blob/main/colab/fast_sampling.ipynb)
#
# Conditioning in DDAD looks like guidance, but it needs no gradient and no second network call: it is a blend of two
# clean pictures, in closed form. That is why any solver can be steered, and why a few calls are enough. The first
# half of this notebook shows the closed form in pictures, the second half measures speed against accuracy.
#
# **What it takes.** Training ends after 4 minutes at the latest. The study redraws 212 pictures in 20 ways and
# compiles nine programs: minutes on a GPU (Runtime, Change runtime type), an estimated ten on two CPU cores.

# %%
# Colab starts empty: fetch the project and install it. Where it is already there, nothing happens.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ADDRESS = "https://github.com/ddad-jax/ddad_jax"
sys.path[:0] = [folder for folder in ("checkout", "..") if Path(folder, "experiments").is_dir()]
if importlib.util.find_spec("experiments") is None:
    subprocess.run(["git", "clone", "--depth=1", ADDRESS, "checkout"], check=True)
    # Where pip replaces JAX by a newer one, the part of it for GPU or TPU must come along, or all would run on the CPU.
    parts = {"jax_cuda12_plugin": "cuda", "libtpu": "tpu"}
    extras = ["experiments", *(extra for part, extra in parts.items() if importlib.util.find_spec(part))]
    wanted = f"./checkout[{','.join(extras)}]"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted], check=True)
    sys.path.insert(0, "checkout")
    importlib.invalidate_caches()

# %%
import logging

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display

from ddad_jax import sampler, schedule, timesteps
from ddad_jax.conditioning import denoised
from ddad_jax.data import to_float
from ddad_jax.data.cans import cans, write_folder
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.figures.blend import blend_figure
from ddad_jax.engine.figures.frontier import frontier_table
from ddad_jax.engine.figures.picture_rows import picture_rows
from ddad_jax.engine.methods.ddad.networks import build_unet, eps_fn
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import format_table
from ddad_jax.engine.workdir import open_workdir
from ddad_jax.solvers import SOLVERS
from experiments.config import engine_settings
from experiments.configs import fast_sampling, small

logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
logging.getLogger("ddad_jax.engine").setLevel(logging.INFO)
print("devices:", *jax.devices())

# %% [markdown]
# ## Settings
#
# `fast_sampling.py` is the README's study on the demo's model; here it is cut down to what can be looked at in one
# sitting. The selected point is the published sampler: DDIM, 10 steps, eta = 1.

# %%
SMALL = bool(os.environ.get("DDAD_SMALL"))  # for the test suite: seconds instead of minutes, and nothing is learnt
WORKDIR = Path("runs/fast_sampling")
FIGURES = WORKDIR / "figures"
W = (0.0, 1.0, 3.0, 6.0)
FEW = (1, 2) if SMALL else (1, 2, 3, 5)

config = fast_sampling.get_config()
config.teacher, config.teacher_images, config.sweep.seed = (8, 4, (0,)) if SMALL else (100, 32, (0,))
config.sample.steps = 2 if SMALL else 10
with config.unlocked():
    for part in list(config.sweep.parts):
        del config.sweep.parts[part]
    config.sweep.parts.update(
        ddim={"steps": (*FEW, config.sample.steps), "eta": (0.0, 1.0)},
        dpm2m={"solver": ("dpm2m",), "steps": FEW[1:], "grid": ("trailing", "log_snr"), "eta": (0.0,)},
        start={"solver": ("dpm2m",), "steps": FEW, "start_noise": (0.0,), "eta": (0.0,)},
    )
if SMALL:
    write_folder(cans(32, n_train=24, n_test_good=8, n_defect=8), "pictures")
    config.update_from_flattened_dict(small.CANS)
config = engine_settings(config)

# %% [markdown]
# Data and the trained U-Net, as `eps_fn`: a function from a noised picture and a time to the noise in it. The sampler
# knows no more of the network than that.

# %%
data = load_data(config)
unet = build_unet(config.model, config.data.size)
params = trained(config, open_workdir(WORKDIR, config, data), data)
eps = jax.jit(eps_fn(unet, params))
alpha_bar = jnp.asarray(schedule.alpha_bar_table())

# %% [markdown]
# ## One step, in pictures
#
# A test picture y is noised to T'. At each visited time t the network says what noise it sees in `x_t`, which is the
# same as saying what clean picture f it sees,
#
# $$f = \frac{x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon_\theta(x_t, t)}{\sqrt{\bar\alpha_t}},$$
#
# and DDAD moves that picture towards y:
#
# $$\hat x_0 = f + w\,(1 - \bar\alpha_t)\,(y - f).$$
#
# That is all of its equations 5 and 6 at once. Top: what the sampler holds at each visited time. Middle: f, what the
# network alone would redraw. Bottom: the steered prediction.

# %%
WHICH = int(np.flatnonzero(np.array(data.test.defects) == "paint")[0])
T_PRIME, STEPS, SHOWN = config.sample.t_prime, 5, 3.0
grid = timesteps.trailing(T_PRIME, STEPS)
y = jnp.asarray(to_float(data.test.images[WHICH : WHICH + 1]))
noise_fn = sampler.noise_of(jax.random.split(jax.random.key(0), 1), y.shape[1:])
common = {"alpha_bar": alpha_bar, "noise_fn": noise_fn}

seen = sampler.visited(eps, y, y, grid, w=SHOWN, eta=0.0, **common)
f = jnp.stack([denoised(x_t, eps(x_t, t), alpha_bar[t]) for x_t, t in zip(seen.x_t, grid.t, strict=True)])
rows = {
    "x_t": seen.x_t[:, 0],
    "f, the network\nalone": f[:, 0],
    f"x̂₀, steered\nwith w = {SHOWN:g}": seen.x0_hat[:, 0],
}
titles = [f"t = {t}" for t in grid.t]
shown = {name: np.asarray(pictures) for name, pictures in rows.items()}
display(Image(picture_rows(shown, FIGURES / "one_step.png", titles=titles)))

# %% [markdown]
# The closed form can be checked to the last digit that float32 has: what the sampler predicts against the formula
# above.

# %%
blend = SHOWN * (1 - alpha_bar[grid.t])[:, None, None, None, None]
formula = f + blend * (y[None] - f)
print(
    "largest difference:", float(jnp.abs(formula - seen.x0_hat).max()), "of values up to", float(jnp.abs(formula).max())
)
assert jnp.allclose(formula, seen.x0_hat, atol=1e-3)

# %% [markdown]
# ## How hard it pulls, and when
#
# The weight of the target is `w (1 - alpha_bar_t)`. It is largest at the start, where the picture is mostly noise and
# the network needs to be told what to redraw, and fades to nothing, so that the network has the last word on small
# things, a defect among them. Above 1 the prediction passes the target and comes out beyond it: differences between f
# and y are then turned around, which sharpens some and overshoots others.

# %%
display(Image(blend_figure(W, grid.t, alpha_bar, FIGURES / "blend.png")))

# %% [markdown]
# ## The same picture with several w
#
# One call of the sampler: w may be an array with a value for each picture of the batch. At w = 0 only the noised
# picture says what is to be redrawn. The larger w is, the earlier the prediction looks like the target, the defect
# included. The right column is the end, below each row stands how far it is from the target.

# %%
ys = jnp.repeat(y, len(W), axis=0)
keys = jax.random.split(jax.random.key(0), 1)
same_noise = sampler.noise_of(jnp.repeat(keys, len(W)), y.shape[1:])
seen = sampler.visited(eps, ys, ys, grid, w=jnp.array(W), eta=0.0, alpha_bar=alpha_bar, noise_fn=same_noise)
rows = {"target y": np.repeat(np.asarray(y), STEPS, axis=0)}
for i, w in enumerate(W):
    distance = float(jnp.abs(seen.x0_hat[-1, i] - y[0]).mean())
    rows[f"w = {w:g}\n{distance:.3f} from y"] = np.asarray(seen.x0_hat[:, i])
display(Image(picture_rows(rows, FIGURES / "several_w.png", titles=titles)))

# %% [markdown]
# ## DDIM against DPM-Solver++
#
# DDIM with eta = 0 and DPM-Solver++ (2M) solve the same equation; DDIM takes straight steps, DPM-Solver++ remembers
# the step before and bends. One step of either is the same prediction. *Fine*: DDIM with so many steps that no solver
# matters, drawn from the same noise. Below each redrawing is its distance to the fine one, all on one scale: dark is
# better.

# %%
FINE = 20 if SMALL else 100
fine = sampler.reconstruct(eps, y, y, timesteps.trailing(T_PRIME, FINE), w=1.0, eta=0.0, **common)
rows = {}
for name in ("ddim", "dpm2m"):
    found = [
        sampler.reconstruct(eps, y, y, timesteps.trailing(T_PRIME, k), w=1.0, eta=0.0, solver=SOLVERS[name], **common)
        for k in FEW
    ]
    rows[name] = np.concatenate([*found, fine])
    rows[f"{name},\ndistance"] = np.stack([np.abs(np.asarray(x0 - fine)[0]).mean(-1) for x0 in found])
titles = [f"{k} call{'s' if k > 1 else ''}" for k in FEW]
display(Image(picture_rows(rows, FIGURES / "solvers.png", titles=[*titles, f"fine: {FINE}"], range_of_maps="all")))

# %% [markdown]
# ## Start without noise
#
# The start may also be the scaled picture itself, `sqrt(alpha_bar) y`, with no noise in it. Nothing of the part is
# drowned, and the same picture always gets the same score. Two redrawings with different noise against one without:

# %%
rows = {"picture": np.asarray(y)}
for seed in (0, 1):
    drawn = sampler.noise_of(jax.random.split(jax.random.key(seed), 1), y.shape[1:])
    rows[f"noise, seed {seed}"] = np.asarray(
        sampler.reconstruct(
            eps, y, y, timesteps.trailing(T_PRIME, 2), w=1.0, eta=0.0, alpha_bar=alpha_bar, noise_fn=drawn
        )
    )
rows["without noise"] = np.asarray(
    sampler.reconstruct(eps, y, y, timesteps.trailing(T_PRIME, 2), w=1.0, eta=0.0, start_noise=0.0, **common)
)
side_by_side = {"2 calls": np.concatenate(list(rows.values()))}
display(Image(picture_rows(side_by_side, FIGURES / "start.png", titles=list(rows))))

# %% [markdown]
# ## The study: accuracy over network calls
#
# Now all test pictures, in every way of the settings above. `teacher_rmse` is the distance of the redrawings to the
# fine sampler's.

# %%
found = run_all(config, WORKDIR, sweep=True)

# %% [markdown]
# Black is the published sampler. Further left is faster. In the first column lower is better, in the others higher.

# %%
display(Image(FIGURES / "frontier.png"))
points = frontier_table(found)
print(format_table(points, list(points[0]), max_rows=40))

# %% [markdown]
# The same few pictures by the selected sampler, its fine teacher and the best of the others:

# %%
display(Image(FIGURES / "side_by_side.png"))

# %% [markdown]
# ## How to read it
#
# * Nearer to the fine sampler is not the same as better at finding defects: the first column and the others need not
#   agree.
# * The README has the full study, with three noise seeds, on cans and on cookies: DPM-Solver++ with 5 calls is nearer
#   to the fine sampler than DDIM with 10, and a start without noise comes within 0.3 points of the published sampler
#   with two calls on cans, five on cookies.
# * One call can be enough: a *student* network is distilled from the trained one for one or two calls (`python -m
#   experiments.distil`). It takes eight minutes more and is left out here; the README has its numbers.
# * Here it is one training of minutes and one noise seed. Differences of a point or less in AUROC say nothing.
