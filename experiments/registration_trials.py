"""Is a wrong warp ever accepted? ``python -m experiments.registration_trials --pictures='FOLDER/**/*.jpg'``.

The middle of each picture is a reference, the picture moved (shifted by up to 10 % of the side, turned by up to 5
degrees, scaled by up to 5 %) is registered to it: as it is, by a camera that panned, blurred, noisy, exposed otherwise,
partly covered, damaged, with a part that slid, turned far, mirrored; and other pictures and none at all, which must be
refused. An
error is that of the worst corner, in pixels of the picture at 256 x 256; more than 3, and whatever is accepted without
a right answer, counts as wrong. Prints two tables, writes trials.csv and the worst accepted warps to ``--out``.
"""

import glob
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from ddad_jax.data.listing import is_picture
from ddad_jax.engine.store.tables import Row, format_table, write_bytes, write_csv
from ddad_jax.engine.studies.registration import KINDS, judged, registration_strip, summed, trial
from ddad_jax.errors import InputError
from experiments import entry

PICTURES = flags.DEFINE_string("pictures", None, "Glob of pictures to draw from; ** for any folders.")
TRIALS = flags.DEFINE_integer("trials", 200, "How many, every kind as often.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the draws.", lower_bound=0)
SIDE = flags.DEFINE_integer("side", 0, "Resize both pictures to this side first; 0: their own size.", lower_bound=0)
OUT = flags.DEFINE_string("out", "runs/registration_trials", "Folder for trials.csv and worst.png.")
SHOWN = 4
COLUMNS = ("kind", "trials", "accepted", "refused", "wrong", "median_px", "p95_px", "max_px")


def main() -> None:
    named = (Path(name) for name in glob.glob(str(PICTURES.value), recursive=True))  # noqa: PTH207 - Path's glob has a root
    paths = sorted(path for path in named if is_picture(path))
    if len(paths) < 2:
        raise InputError(f"--pictures={PICTURES.value}: {len(paths)} pictures; expected 2 or more. Quote the glob")
    rng, kinds = np.random.default_rng(SEED.value), list(KINDS)
    rows: list[Row] = []
    worst: list[tuple[float, np.ndarray]] = []
    for i in range(TRIALS.value):
        made = trial(kinds[i % len(kinds)], paths, rng, SIDE.value)
        row, found = judged(made)
        rows.append({"trial": i, **row})
        if found is not None and found.accepted:
            rank = float(row["error_px"] if made.back is not None else np.inf)
            worst = sorted([*worst, (rank, registration_strip(made, found))], key=lambda one: -one[0])[:SHOWN]
    summary = [summed(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]
    print(format_table([*summary, summed("all", rows)], COLUMNS))
    reasons = Counter(row["why"] for row in rows if not row["accepted"])
    print("\n".join(f"{n:5} refused: {why}" for why, n in reasons.most_common()))
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    print(f"{len(paths)} pictures; {np.median(seconds) if seconds else float('nan'):.2f} s a registration, the median")
    write_csv(Path(OUT.value) / "trials.csv", rows)
    if worst:
        sheet = np.concatenate([picture for _, picture in worst])
        write_bytes(Path(OUT.value) / "worst.png", cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    print(f"each trial: {OUT.value}/trials.csv; the worst accepted, each beside its reference: {OUT.value}/worst.png")


if __name__ == "__main__":
    entry.run_without_config(main, required=["pictures"])
