# %% [markdown]
# # Your own pictures: from a folder of good parts to a file that judges
#
# [![Open in
# Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ddad-jax/ddad_jax/blob/main/colab/your_own_pictures.ipynb)
#
# Bring pictures of good parts. The model learns from them, the settings are chosen and the threshold is set without a
# single labelled defect, and at the end there is one file that judges new pictures on any machine with JAX.
#
# **What you need.** A folder `NAME/train/good` with 50 pictures of good parts or more, taken as those to be judged
# will be: same camera, same light, on different days if you can. `NAME/test/good` and `NAME/test/ANY_DEFECT` with a
# few pictures each show what it is worth; masks, if you have any, lie in
# `NAME/ground_truth/ANY_DEFECT/PICTURE_mask.png`. PNG, JPEG, BMP, TIFF or WebP.
#
# **What it takes.** Training ends after `MINUTES`, choosing and judging take minutes more: on the free GPU of Colab
# (Runtime, Change runtime type) as on two CPU cores, where it is slower. Without pictures of your own it runs on
# rendered cans.

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
import json
import logging
import operator
import shutil

import jax
import numpy as np
from IPython.display import Image, display

from ddad_jax.data.cans import cans, write_folder
from ddad_jax.data.read import resized
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.detector.export import write_export
from ddad_jax.engine.detector.frames import detector_of
from ddad_jax.engine.figures.picture_rows import picture_rows
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import format_table
from ddad_jax.engine.verdicts.overlay import overlay
from ddad_jax.vision.regions import regions
from experiments.config import engine_settings
from experiments.configs import folder, small

logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
logging.getLogger("ddad_jax.engine").setLevel(logging.INFO)
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # cells for a shell use this Python
print("devices:", *jax.devices())

# %% [markdown]
# ## Where the pictures come from
#
# * `cans`: rendered ones, to see how it goes.
# * `folder`: a folder of this machine; in Colab, one you dragged into the file browser at the left.
# * `upload`: a .zip that you choose in a dialogue (Colab).
# * `drive`: your Google Drive (Colab); it asks for your permission, and pictures do not leave your account.

# %%
SMALL = bool(os.environ.get("DDAD_SMALL"))  # for the test suite: seconds instead of minutes, and nothing is learnt
SOURCE = "cans"  # @param ["cans", "folder", "upload", "drive"]
ROOT = "pictures"  # @param {type: "string"}
NAME = "winter_melon"  # @param {type: "string"}
MINUTES = 10.0  # @param {type: "number"}
FALSE_ALARMS = 0.1  # @param {type: "number"}
WORKDIR = Path("runs/own")

if SOURCE == "cans":
    counts = {"n_train": 30, "n_test_good": 4, "n_defect": 4} if SMALL else {}
    write_folder(cans(32 if SMALL else 128, **counts), ROOT)
elif SOURCE == "upload":
    from google.colab import files

    for archive in files.upload():
        shutil.unpack_archive(archive, ROOT)
elif SOURCE == "drive":
    from google.colab import drive

    drive.mount("/content/drive")
    ROOT = f"/content/drive/MyDrive/{ROOT}"

# %% [markdown]
# ## Settings
#
# Pictures are brought to `size` x `size` pixels. A defect must still be visible then: look at the pictures below. If
# it is not, take 128 with `model.patch` = 4 at nearly the same cost, or the papers' size, `folder.get_config("gpu")`.
#
# `select = "synthetic"`: the setting of the sweep is used that best finds synthetic defects, painted on good
# pictures. The `conformal` rule promises that at most the share `FALSE_ALARMS` of new good pictures raises a false
# alarm, on average, as long as they are like the held-out ones.

# %%
config = folder.get_config()
config.data.update(root=ROOT, category=NAME, size=64)
config.train.max_minutes = MINUTES
config.select = "synthetic"
config.threshold.update(rule="conformal", level=FALSE_ALARMS)
if SMALL:
    config.update_from_flattened_dict(
        {
            **small.SETTINGS,
            "data.held_out": 0.35,
            "sample.t_prime": 250,
            "sample.steps": 3,
            "sweep.w": (0.0, 1.0),
            "sweep.t_prime": (250,),
            "sweep.v": (1.0, 3.0),
            "sweep.layers": (),
            "synthetic_normals": 10,
            "synthetic_defects": 10,
        }
    )
config = engine_settings(config)

# %% [markdown]
# ## Look at them first
#
# As the model will see them. *Held out* are good pictures that are never trained on: the scale of the scores and the
# threshold come from them. If pictures of one recording are on both sides, the threshold will be too low; the program
# `experiments.dataset` keeps recordings apart.

# %%
data = load_data(config)
rows = {"trained on": data.fit.images[:6], "held out": data.held_out.images[:6]}
for kind in dict.fromkeys(data.test.defects):
    rows[f"test: {kind}"] = data.test.images[np.array(data.test.defects) == kind][:6]
display(Image(picture_rows(rows, WORKDIR / "figures" / "pictures.png")))
print(data.n_fit, "to train on,", data.n_held_out, "held out,", len(data.test.labels), "to test")

# %% [markdown]
# **Synthetic defects**, painted on good pictures. The settings are chosen by how well these are told from good
# pictures; they are never trained on. If yours look quite different, the choice is worth less.

# %%
painted = data.choice.defects
display(Image(picture_rows({"synthetic\ndefects": painted.images[:6]}, WORKDIR / "figures" / "synthetic.png")))

# %% [markdown]
# ## Train, choose, judge

# %%
rows = run_all(config, WORKDIR, sweep=True)

# %% [markdown]
# **How it learnt.** Blue is the loss on training pictures, orange on held-out ones. Where both still fall at the end,
# more minutes will help; where orange turns upwards, more pictures will.

# %%
display(Image(WORKDIR / "figures" / "training.png"))

# %% [markdown]
# ## What was chosen, without labels
#
# `synthetic_image_auroc` is how often a synthetic defect scores above a good picture; the first row of the highest is
# used. Where many rows are near 1, the choice among them means little, and nothing is lost by it.

# %%
ranked = sorted(rows, key=operator.itemgetter("synthetic_image_auroc"), reverse=True)
print(format_table(ranked, ["w", "t_prime", "steps", "v", "layers", "synthetic_image_auroc", "selected"], max_rows=8))

# %% [markdown]
# ## The threshold
#
# Every rule below rests on the held-out good pictures alone. Few of them promise little: with n pictures no rule can
# promise less than one false alarm in n + 1. Where less was asked for, the largest of their scores is used, and a
# warning says so: what is printed behind the threshold is what it then holds.

# %%
calibration = json.loads((WORKDIR / "calibration.json").read_text())
for rule, one in calibration["thresholds"]["image"].items():
    used = " (in use)" if rule == calibration["threshold_rule"] else ""
    print(f"{rule}{used}: {one['value']:.4g}; {one['guarantee']}")
print(*calibration["threshold_warnings"], sep="\n")
display(Image(WORKDIR / "figures" / "scores.png"))

# %% [markdown]
# ## What it finds
#
# Input with the true outline where a mask is there, reconstruction, both distances, and the map. Look at the good
# pictures, too: what is bright there is what will raise false alarms.

# %%
display(Image(WORKDIR / "figures" / "examples.png"))

# %% [markdown]
# ## One file for the line
#
# Networks, settings, score and threshold in one file, for CPU, GPU and TPU. It is run once here and must give the
# scores of the workdir. Beside it lies a script that needs JAX, NumPy and flatbuffers.

# %%
detector = detector_of(WORKDIR, batch=4)
print(write_export(detector, Path("model/parts.ddad"), ["cpu", "cuda", "tpu"]))

# %% [markdown]
# And used, in a process of its own on the CPU, as the computer at the line would. One line of JSON a picture.

# %%
labels = data.test.labels
chosen = sorted(
    {int(labels.argmin()), int(labels.argmax())}
)  # a good picture and a defective one, where there are both
os.environ["PICTURES"] = "\n".join(str(Path(ROOT, data.test.names[i])) for i in chosen)

# %% language="bash"
# set -e
# mapfile -t pictures <<< "$PICTURES"
# export JAX_PLATFORMS=cpu
# python model/run_exported.py model/parts.ddad "${pictures[@]}" --maps model/maps > model/verdicts.jsonl
# cat model/verdicts.jsonl

# %% [markdown]
# The maps it left, drawn on the pictures: what exceeds the pixel threshold is outlined in blue.

# %%
verdicts = [json.loads(line) for line in Path("model/verdicts.jsonl").read_text().splitlines()]
shown = []
for verdict, i in zip(verdicts, chosen, strict=True):
    anomaly, limit = np.load(verdict["map"]), verdict["pixel_threshold"]
    picture = resized(data.test.images[i], (256, 256))
    shown.append(overlay(picture, anomaly, limit, regions(anomaly, limit, size=(256, 256))))
titles = [
    f"{data.test.defects[i]}: {'alarm' if verdict['anomalous'] else 'passes'}"
    for verdict, i in zip(verdicts, chosen, strict=True)
]
rows = {"by the\nexported file": np.stack(shown)}
display(Image(picture_rows(rows, WORKDIR / "figures" / "exported.png", titles=titles)))

# %% [markdown]
# ## Take it home, and be honest about it
#
# * In Colab: `from google.colab import files; files.download("model/parts.ddad")`, and `model/run_exported.py` with
#   it. `runs/own/report.html` is the report, one file that opens without a network.
# * `python -m experiments.inspect --model=runs/own --source=camera:0 --serve=8000` watches a camera and shows
#   verdicts live.
# * Ten minutes of training at 64 pixels find defects that can be seen at 64 pixels. Fine cracks in a grainy surface
#   were not found well (magnetic tiles: image AUROC 0.725, see the README); more training did not mend that.
# * The threshold's promise holds for pictures like the held-out ones. Another light, another batch of material:
#   calibrate again.
