# %% [markdown]
# # What each setting does: w, T', steps and v
#
# [![Open in
# Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ddad-jax/ddad_jax/blob/main/colab/ablation.ipynb)
#
# Four numbers decide how DDAD redraws a picture and what it makes of the redrawing. This notebook trains one small
# model, sweeps over each of the four, and draws the paper's Tables 6 (steps), 12 (w) and 13 (v) with our curve beside
# them.
#
# * **w**: how hard a redrawing is pulled towards the picture that is being tested.
# * **T'**: how much noise is put in before the redrawing starts.
# * **steps**: how many network calls take the noise out again.
# * **v**: how much the pixel distance counts against the feature distance.
#
# **What it takes.** Training ends after 4 minutes at the latest; the sweep redraws 212 pictures at 12 points with
# about ten network calls each, minutes on a GPU (Runtime, Change runtime type) and about ten minutes on two CPU
# cores.
#
# **What it can show.** Directions, on rendered cans of 64 pixels and a model trained for minutes. The paper's numbers
# are of MVTec AD, 256 pixels and days of training: the curves stand beside each other, they are not to be compared in
# height. `python -m experiments.paper --table=12 --data=/path/to/mvtec` is the paper's own experiment.

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
from IPython.display import Image, display

from ddad_jax import timesteps
from ddad_jax.data.cans import cans, write_folder
from ddad_jax.engine.figures import metric_curves
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import format_table
from experiments.config import engine_settings
from experiments.configs import demo, small
from experiments.papers.beside_paper import beside_paper, beside_paper_table
from experiments.papers.numbers import contradictions, tables

logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
logging.getLogger("ddad_jax.engine").setLevel(logging.INFO)
print("devices:", *jax.devices())

# %% [markdown]
# ## Settings
#
# The point in the middle is the paper's: DDIM with 10 steps and noise of its own (eta = 1) from T' = 250, w = 3, v =
# 1. Each *part* changes one number of it. v and the layers only touch the score, so their values share the
#    reconstructions and cost next to nothing. A feature weight of 0 leaves the pixel distance alone, as in the
#    paper's Table 12.

# %%
SMALL = bool(os.environ.get("DDAD_SMALL"))  # for the test suite: seconds instead of minutes, and nothing is learnt
WORKDIR = Path("runs/ablation")
W = (0.0, 3.0) if SMALL else (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
T_PRIME = (150, 250) if SMALL else (100, 150, 250, 350)
STEPS = (2, 5) if SMALL else (5, 10, 25)
V = (1.0, 2.0) if SMALL else (0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 4.0)

config = demo.get_config()
config.sample.update(w=3.0, t_prime=250, steps=STEPS[-1] if SMALL else 10, solver="ddim", eta=1.0, start_noise=1.0)
config.score.v = 1.0
with config.unlocked():
    for name in config.sweep:
        if name not in ("parts", "seed"):
            config.sweep[name] = ()
    config.sweep.update(v=V, feature_weight=(0.0, 1.0))
    config.sweep.parts.update(w={"w": W}, t_prime={"t_prime": T_PRIME}, steps={"steps": STEPS})
if SMALL:
    write_folder(cans(32, n_train=24, n_test_good=8, n_defect=8), "pictures")
    config.update_from_flattened_dict(small.CANS)
config = engine_settings(config)

# %% [markdown]
# ## Train once, sweep
#
# Every finished point is a line in the journal of `WORKDIR`. Interrupt the cell and run it again, or add a value
# above and run it again: only what is missing is computed.

# %%
rows = run_all(config, WORKDIR, sweep=True)

# %% [markdown]
# ## Each setting by itself
#
# The thick line is the median of all rows with a value, thin lines change that setting and keep the others, the star
# is the paper's point. The stars were not chosen by these results.

# %%
whole = [row for row in rows if row["feature_weight"] == 1]
for metric in ("image_auroc", "aupro_30"):
    picture = WORKDIR / "figures" / f"ablation_{metric}.png"
    display(Image(metric_curves(whole, picture, metric=metric, parameters=("w", "t_prime", "steps", "v"))))

# %% [markdown]
# ## Table 12: w, with the pixel distance alone
#
# At w = 0 the network alone decides what is redrawn, and small parts of a good picture come out differently: false
# alarms. With larger w the redrawing keeps to the picture, until it also keeps the defect. In the paper's means the
# image AUROC rises up to w = 6, but each category has its own best w, and for some (bottle, toothbrush, transistor)
# more is worse.
#
# Grey: the paper's fifteen categories of MVTec AD. Blue: their mean. Orange: this run, other pictures.

# %%
selected = {name: config.sample[name] for name in ("w", "t_prime", "steps")}
pixels = [row for row in rows if row["feature_weight"] == 0 and row["v"] == 1]
of_w = [row for row in pixels if all(row[name] == selected[name] for name in ("t_prime", "steps"))]
table = tables()["12"]
display(Image(beside_paper(of_w, table, WORKDIR / "figures" / "table_12.png", setting="w")))
compared = beside_paper_table(of_w, table, setting="w")
print(format_table(compared, list(compared[0])))
print(*contradictions("12"), sep="\n")

# %% [markdown]
# ## Table 6: the number of steps
#
# A step more is a network call more. The paper finds 10 steps a little better than 5, and 25 no better than 10: the
# redrawing stays close to the target whatever the number, since the target is known from the first step on. How few
# are enough with better solvers is the subject of `colab/fast_sampling.ipynb`.

# %%
of_steps = [row for row in whole if row["v"] == 1 and all(row[name] == selected[name] for name in ("w", "t_prime"))]
table = tables()["6"]
display(Image(beside_paper(of_steps, table, WORKDIR / "figures" / "table_6.png", setting="steps")))
compared = beside_paper_table(of_steps, table, setting="steps")
print(format_table(compared, list(compared[0])))
print(*contradictions("6"), sep="\n")

# %% [markdown]
# ## Table 13: v, pixels against features
#
# Both distances are brought to one scale by held-out good pictures; v = 1 lets them count alike. The paper finds
# little difference between 0.8 and 2. A network that redraws softly, as a small one does, has large pixel distances
# at every edge of a good picture, and then the best v is another one.

# %%
of_v = [row for row in whole if all(row[name] == selected[name] for name in selected)]
table = tables()["13"]
display(Image(beside_paper(of_v, table, WORKDIR / "figures" / "table_13.png", setting="v")))
compared = beside_paper_table(of_v, table, setting="v")
print(format_table(compared, list(compared[0])))
print(*contradictions("13"), sep="\n")

# %% [markdown]
# ## T': how much noise
#
# The paper fixes T' = 250 and shows no table of it. With little noise the defect is still in sight when the redrawing
# starts, and is kept; with much noise the part itself is lost and has to be guessed. The last panels above show where
# this model stands between the two. The times that a sampler visits differ, too:

# %%
for t_prime in T_PRIME:
    print(f"T' = {t_prime}: visits", *timesteps.trailing(t_prime, config.sample.steps).t)

# %% [markdown]
# ## What this cannot show
#
# One training, one noise seed, 180 test pictures: differences below about 0.01 are noise (`config.sweep.seed = (0, 1,
# 2)` says how large it is). And the best point of these curves is chosen by test labels: nobody has labels where a
# station is set up. `config.select = "synthetic"` chooses without them, see `colab/your_own_pictures.ipynb`.
