# %% [markdown]
# # Quickstart: from pictures of good parts to heat maps
#
# [![Open in
# Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ddad-jax/ddad_jax/blob/main/colab/quickstart.ipynb)
#
# A diffusion model learns what good parts look like, and nothing else. A test picture is noised, redrawn as it would
# look without a defect, and compared with the redrawing: where the two differ, there is the defect. This notebook
# does that on rendered pictures of printed metal cans, from nothing to heat maps.
#
# **What it takes.** Training ends after 4 minutes at the latest. The rest took 4 minutes more on two CPU cores, most
# of it compiling; a GPU, such as the free one of Colab (Runtime, Change runtime type), does more training steps in
# its 4 minutes. Memory: 3 GiB. No pictures, no account, no download besides the project itself.

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

# %% [markdown]
# If the installation asks for a restart of the runtime, restart it and run from the top: nothing is fetched twice.

# %%
import logging

import jax
import numpy as np
from IPython.display import Image, display

from ddad_jax.data.cans import cans, write_folder
from ddad_jax.data.read import resized
from ddad_jax.engine.detector.frames import detector_of
from ddad_jax.engine.figures.picture_rows import picture_rows
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import format_table
from ddad_jax.engine.verdicts.overlay import overlay
from ddad_jax.vision.regions import regions
from experiments.config import engine_settings
from experiments.configs import demo, small

logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
logging.getLogger("ddad_jax.engine").setLevel(logging.INFO)
print("devices:", *jax.devices())

# %% [markdown]
# ## Settings
#
# `demo.py` is a file of settings like all others: `config.train.max_minutes = 10.0` changes one of them. In a
# terminal the whole notebook is one command, `python -m experiments.evaluate --config=experiments/configs/demo.py
# --workdir=runs/quickstart`, and every setting is a flag of it.

# %%
SMALL = bool(os.environ.get("DDAD_SMALL"))  # for the test suite: seconds instead of minutes, and nothing is learnt
PRODUCT = "winter_melon"  # or coffee, lemon_soda
WORKDIR = Path("runs/quickstart")

config = demo.get_config(PRODUCT)
if SMALL:
    write_folder(cans(32, n_train=24, n_test_good=8, n_defect=8), "pictures")
    config.update_from_flattened_dict(small.CANS)
config = engine_settings(config)

# %% [markdown]
# ## The pictures
#
# Good cans are all the model ever learns from. Dents and paint are in the test set alone, to see whether they are
# found.

# %%
few = cans(config.data.size, product=PRODUCT, n_train=6, n_test_good=0, n_defect=6)
defects = np.array(few.test.defects)
rows = {"good": few.train.images, **{kind: few.test.images[defects == kind] for kind in ("dent", "paint")}}
display(Image(picture_rows(rows, WORKDIR / "figures" / "pictures.png")))

# %% [markdown]
# ## Train, adapt, judge
#
# One call does what is missing and keeps it in `WORKDIR`: the U-Net learns to predict noise, the feature network is
# adapted to ignore what redrawing does to good pictures, and every test picture is redrawn and scored. Interrupt it
# and run the cell again: it goes on where it stopped.

# %%
found = run_all(config, WORKDIR, sweep=False)

# %% [markdown]
# **How it learnt.** Blue is the loss on training pictures, orange on good pictures that were held out. Both should
# fall together; where orange turns upwards, the model learns its pictures by heart.

# %%
display(Image(WORKDIR / "figures" / "training.png"))

# %% [markdown]
# ## What it found
#
# Each row is a test picture. *Reconstruction* is the redrawing; the *pixel distance* is bright where colours differ,
# the *feature distance* where a network trained on ImageNet sees another texture or shape; the *anomaly map* puts
# both together. The orange outline is the true defect. A good picture should be dark.

# %%
display(Image(WORKDIR / "figures" / "examples.png"))

# %% [markdown]
# A picture's score is the largest value of its map. The threshold is the largest score among good pictures that were
# held out of training: no defect was needed to set it. Orange to the right of the line is found, blue to the right of
# it is a false alarm.

# %%
display(Image(WORKDIR / "figures" / "scores.png"))
print(format_table(found, ["image_auroc", "pixel_auroc", "aupro_30", "ms_per_image"]))

# %% [markdown]
# *image AUROC*: how often a defective can scores above a good one. *pixel AUROC* and *AUPRO*: whether the right
# pixels are bright. 1 is perfect, 0.5 is chance. After four minutes on two CPU cores it was 0.999, 0.990 and 0.974
# (see the README, with the command). Rendered cans are easier than a real station; expect less from your own
# pictures.
#
# ## Use it on new pictures
#
# `detector_of` loads a finished run and takes pictures of any size. These cans come from another seed: the model has
# seen none of them. What exceeds the pixel threshold is coloured and outlined in blue, the true defect in yellow.

# %%
new = cans(config.data.size, product=PRODUCT, seed=1, n_train=0, n_test_good=2, n_defect=2).test
detector = detector_of(WORKDIR, batch=len(new.images))
verdicts = detector(list(new.images))
side = 256  # a station's pictures are larger than these
drawn = [
    overlay(
        resized(picture, (side, side)),
        one.map,
        one.pixel_threshold,
        regions(one.map, one.pixel_threshold, size=(side, side)),
        mask,
    )
    for picture, one, mask in zip(new.images, verdicts, new.masks, strict=True)
]
rows = {
    "picture": new.images,
    "heat map": np.stack([one.map for one in verdicts]),
    "what is shown\nto a person": np.stack(drawn),
}
titles = [
    f"{kind}: {'alarm' if one.anomalous else 'passes'}\n{one.score:.3g} (limit {one.threshold:.3g})"
    for kind, one in zip(new.defects, verdicts, strict=True)
]
display(Image(picture_rows(rows, WORKDIR / "figures" / "new.png", titles=titles)))

# %% [markdown]
# ## Go on
#
# * `report.html` in `WORKDIR` has all of this and more in one file that opens without a network. In Colab, find it in
#   the file browser at the left and download it.
# * `colab/your_own_pictures.ipynb`: the same for your parts, with a threshold that promises a false-alarm rate.
# * `colab/ablation.ipynb`: what w, T', the number of steps and v do. `colab/fast_sampling.ipynb`: how few network
#   calls are enough, and why.
