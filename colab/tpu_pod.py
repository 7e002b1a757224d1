# %% [markdown]
# # TPU pods and clusters: plan a run, render its launch
#
# [![Open in
# Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ddad-jax/ddad_jax/blob/main/colab/tpu_pod.ipynb)
#
# A sweep at the paper's size is hours of an accelerator. This notebook counts what a run will do before it is paid
# for, sees what more devices would save, and writes the scripts that start it: on a Cloud TPU, a SLURM cluster, GKE,
# or hosts reached by SSH.
#
# **Nothing is executed here.** No account is asked for, nothing is started, nothing costs anything. `launch.run`
# shows what it would write and run, and does it only with `--execute`.
#
# **What it takes.** A minute on any machine: only counting, no training. A TPU runtime of Colab, if you have one,
# shows its chips below and runs the other notebooks as they are.

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
import shlex

import jax
from IPython.display import Image, display

import experiments
from ddad_jax.engine.figures.stage_bars import stage_bars
from ddad_jax.engine.store.tables import format_table

# The cells that begin with %%bash are for a terminal: in the folder of the checkout, with this Python.
CHECKOUT = str(Path(experiments.__path__[0]).parent.resolve())
OUT = Path("launch").resolve()
OUT.mkdir(exist_ok=True)
shell = {"CHECKOUT": CHECKOUT, "OUT": str(OUT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
os.environ.update(shell)
print("devices here:", *jax.devices())

# %% [markdown]
# ## What is to be run
#
# The sweep of an ablation at the paper's size, on the screws of MVTec AD: seven w, three numbers of steps, three
# noise seeds and three v. The data need not be here: `PICTURES` says how many there are (test, training).

# %%
SMALL = bool(os.environ.get("DDAD_SMALL"))  # for the test suite: the demo, which is counted sooner
COMMAND = (
    "experiments.sweep --config=experiments/configs/demo.py --workdir=gs://my-bucket/demo"
    if SMALL
    else "experiments.sweep --config=experiments/configs/mvtec.py:screw --workdir=gs://my-bucket/screw"
    " --config.data.root=gs://my-bucket/mvtec"
    " --config.sweep.w=(0.0,1.0,2.0,3.0,4.0,5.0,6.0) --config.sweep.steps=(5,10,25)"
    " --config.sweep.seed=(0,1,2) --config.sweep.v=(0.5,1.0,2.0)"
)
DEVICES = 16
PICTURES = "180,300" if SMALL else "160,320"
MS_PER_CALL = 0.4  # of one picture, on the device named next: an assumption, measure yours
MEASURED_ON = "TPUv5e"
TPU = "--target=tpu --tpu_type=v5litepod-16 --tpu_zone=us-west4-a --tpu_spot"
os.environ.update(COMMAND=COMMAND, DEVICES=str(DEVICES), PICTURES=PICTURES)
os.environ.update(MS_PER_CALL=str(MS_PER_CALL), MEASURED_ON=MEASURED_ON, TPU=TPU)

# %% [markdown]
# ## Plan it
#
# How long a U-Net call takes decides nearly all. Here it is given as an assumption; on the accelerator itself,
# `--measure` times one, and `--from_run=WORKDIR` takes it from the rows of a run that you have. A `~` marks every
# number that rests on an estimate.

# %% language="bash"
# set -e
# cd "$CHECKOUT"
# python -m launch.plan --ms_per_call=$MS_PER_CALL --measured_on=$MEASURED_ON --accelerator=$MEASURED_ON \
#     --devices=$DEVICES --pictures=$PICTURES --save="$OUT/plan.json" -- $COMMAND

# %% [markdown]
# **In a picture.** *One device*: as it is. *One run*: all devices share every chunk of the grid; training is cut,
# too, but adaptation runs on one host. *Shards*: each device computes every N-th point by itself, after a common
# training. More devices shorten the sweep alone; what they do not shorten is what the last bars are made of.

# %%
plan = json.loads((OUT / "plan.json").read_text())
ways = {
    name: {stage: times["seconds"] for stage, times in course["stages"].items()}
    for name, course in plan["courses"].items()
}
display(Image(stage_bars(ways, OUT / "plan.png")))
rows = [
    {"how": name, "hours": course["seconds"] / 3600, "device-hours": course["device_hours"], "at work": course["busy"]}
    for name, course in plan["courses"].items()
]
print(format_table(rows, list(rows[0])))
print(plan["rows"], "rows from", plan["reconstructions"], "reconstructions")

# %% [markdown]
# *Device-hours* are what is paid for: `--price_per_hour=X`, of one device, has the plan print what they cost. Where
# devices are at work for a small share of the time, fewer of them cost less and hardly take longer.
#
# ## Render a launch on a Cloud TPU
#
# A queued resource: it is asked for, awaited, all its workers run the same command as one `jax.distributed` run, and
# it is deleted at the end. `--tpu_spot` takes the cheaper kind that may be taken away; the run then goes on from its
# workdir. Below are the beginning of what is rendered and its notes; `launch/tpu.txt` has all of it.

# %% language="bash"
# set -e
# cd "$CHECKOUT"
# python -m launch.run $TPU --out="$OUT/tpu" -- $COMMAND > "$OUT/tpu.txt"
# head -n 25 "$OUT/tpu.txt"
# echo ...
# grep -E '^# (file|step|note|warning|Nothing)' "$OUT/tpu.txt"

# %% [markdown]
# A tool that is missing here, `gcloud` for one, is named in a warning, with how to get it; rendering does not need
# it.
#
# ## The same command on a SLURM cluster
#
# Only the target changes. Every target ends in the same thing: processes that run the same `experiments` command,
# find each other, and write to one workdir. The command may be given again after a pre-emption: finished points are
# not computed twice.

# %% language="bash"
# set -e
# cd "$CHECKOUT"
# python -m launch.run --target=slurm --shards=8 --slurm_gpus_per_node=1 --out="$OUT/slurm" \
#     -- ${COMMAND//gs:\/\/my-bucket//scratch/me} > "$OUT/slurm.txt"
# head -n 30 "$OUT/slurm.txt"
# echo ...
# grep -E '^# (file|step|note|warning|Nothing)' "$OUT/slurm.txt"

# %% [markdown]
# ## Start it
#
# In a terminal of your own, in the folder of the checkout, with `gcloud` signed in and a bucket of your own in the
# place of `my-bucket`: the command that the next cell prints. It is that of the TPU above with `--execute`, quoted for
# a shell. A TPU costs from the moment it is active until it is deleted. `--target=local`, `ssh`, `slurm` and `gke`
# work alike; `python -m launch.run --help` has their settings.

# %%
words = ["python", "-m", "launch.run", *TPU.split(), "--out=launch/tpu", "--execute", "--", *COMMAND.split()]
print(shlex.join(words))

# %% [markdown]
# What was tested of this project: `local` for real, that is several processes on one machine, one of them killed and
# the launch repeated. SSH, SLURM, TPU and GKE with stand-ins for their tools, which check the commands they get and
# play a failure, a pre-emption or a time limit; never on hosts of their own, a cluster or a pod.
