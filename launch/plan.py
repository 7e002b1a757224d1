"""What a run takes, before it is paid for: ``python -m launch.plan --measure -- experiments.sweep --config=...``

Counts what the command behind ``--`` would do from nothing: points, reconstructions, network calls, programs, rows. How
long that takes rests on one point,

* ``--measure``: timed here with random weights;
* ``--from_run=WORKDIR``: of the rows of a run, one row is enough;
* ``--ms_per_call=X`` and ``--ms_per_image=Y``: of one U-Net call, and of a whole picture at the config's point.

Scoring is always timed on this host. Other accelerators are estimated by published peaks. A ``~`` marks what rests on
an estimate rather than on something timed.
"""

import importlib
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from ddad_jax.engine.cost import planning
from ddad_jax.engine.cost.costs import MeasuredCosts, Networks, device_kind, from_run, networks, of_point
from ddad_jax.engine.cost.measuring import compiled_here, measure, scoring, timed_point
from ddad_jax.engine.cost.planning import PictureCounts
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.data.view import view_of
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.table import require_method
from ddad_jax.engine.store.tables import plain, require_writable, write_text
from ddad_jax.errors import InputError
from ddad_jax.points import ReconPoint
from experiments import entry
from launch import accelerators, asked
from launch.job import Job
from launch.plan_text import plan_report
from launch.prospect import Prospect, plan_figures

STAGES = {
    "experiments.train": ("training",),
    "experiments.adapt": ("training", "adaptation"),
    "experiments.distil": ("training", "student"),
    "experiments.evaluate": ("training", "adaptation", "student", "optimised grids", "sweep"),
    "experiments.sweep": ("training", "adaptation", "student", "optimised grids", "sweep"),
}
"""The stages of each program of ``asked.PROGRAMS``."""
AROUND_S = 15.0
"""Assumed of starting, drawing figures and writing the report, on the host."""

MEASURE = flags.DEFINE_bool("measure", False, "Time one point of the config here, with random weights.")
FROM_RUN = flags.DEFINE_string("from_run", "", "Workdir of a run whose rows say what a picture takes.")
MS_PER_CALL = flags.DEFINE_float("ms_per_call", None, "Milliseconds of one U-Net call, for one picture.")
MS_PER_IMAGE = flags.DEFINE_float("ms_per_image", None, "Milliseconds of a picture at the config's point, in all.")
MEASURED_ON = flags.DEFINE_string(
    "measured_on", "", "Device that --from_run or --ms_per_... is of, where it is not the one here, such as H100."
)
DEVICES = flags.DEFINE_integer("devices", 1, "Devices, in one run or as shards of the grid.", lower_bound=1)
ACCELERATOR = flags.DEFINE_list("accelerator", [], f"Which to estimate for: {', '.join(accelerators.TABLE)}; or all.")
PRICE = flags.DEFINE_float("price_per_hour", 0.0, "Of one device, to put a price beside its hours.", lower_bound=0.0)
MEMORY = flags.DEFINE_float("memory_gib", 0.0, "Of one device: how large a chunk fits; 0: not asked.", lower_bound=0.0)
PICTURES = flags.DEFINE_list(
    "pictures", [], "Numbers of test pictures and of normal training pictures, such as 120,200, to plan without the "
    "data; a single number stands for both.",
)  # fmt: skip
SAVE = flags.DEFINE_string("save", "", "Also write the figures to this file, as JSON.")


def command(argv: Sequence[str]) -> tuple[list[str], Job]:
    """(flags of this program, what is planned), of the words behind the program's name.

    Raises:
      InputError: nothing behind --, a program that cannot be planned, flags that a launch sets itself.
    """
    own_flags, words = asked.split_argv(argv, "python -m launch.plan --measure")
    return own_flags, asked.command_of(words)


def require_sound() -> None:
    """Raises InputError for flags that contradict each other or are out of range, before anything takes time."""
    given = {flag.name: flag.value for flag in (MS_PER_CALL, MS_PER_IMAGE) if flag.value is not None}
    for name, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"--{name}={value:g}: expected milliseconds above 0")
    sources = [name for name, on in (("--measure", MEASURE.value), ("--from_run", FROM_RUN.value)) if on]
    sources += [f"--{name}" for name in given][:1]
    if len(sources) > 1:
        raise InputError(f"{' and '.join(sources)}: expected one of them, as the time of a point has one source")
    if MEASURED_ON.value and not (FROM_RUN.value or given):
        raise InputError(f"--measured_on={MEASURED_ON.value}: expected --from_run or --ms_per_call with it")
    asked_for = accelerators.asked(ACCELERATOR.value)
    if PRICE.value and len(asked_for) != 1 and not sources:
        raise InputError(f"--price_per_hour={PRICE.value:g}: of which device? Expected one --accelerator with it")
    if SAVE.value:
        require_writable(SAVE.value, "--save")


def pictures(c: DDADSettings) -> tuple[PictureCounts, Data | None]:
    """Those of the config's data, or as many as ``--pictures`` says.

    Raises:
      InputError: no data and no numbers, or numbers that no run could have.
    """
    if not PICTURES.value:
        try:
            data = load_data(c)
        except InputError as error:
            raise InputError(
                f"{error}. To plan without the data, say how many pictures there will be: --pictures=TEST,TRAIN"
            ) from None
        return planning.picture_counts(data), data
    numbers = [int(n) if n.strip().isdecimal() else 0 for n in PICTURES.value]
    test, train = (numbers * 2)[:2]
    if len(numbers) > 2 or test < 1 or train < 2:
        raise InputError(
            f"--pictures={','.join(PICTURES.value)}: expected the number of test pictures, 1 or more, and of normal "
            "training pictures, 2 or more, such as 120,200"
        )
    return planning.assumed_pictures(c, test, train, view_of(c).tiles), None


def known_costs(
    c: DDADSettings, have: PictureCounts, points: Sequence[ReconPoint], stages: Sequence[str], known: Networks
) -> MeasuredCosts | None:
    """Of the source that the flags name; None where they name none."""
    if MEASURE.value:
        reuse = "sweep" in stages and any(point.reuse > 1 for point in points)
        return measure(c, DEVICES.value, reuse=reuse, train="training" in stages)
    if FROM_RUN.value:
        from_workdir = from_run(c, Path(FROM_RUN.value), known, tiles=have.tiles, measured_on=MEASURED_ON.value)
        if from_workdir.device != device_kind():
            return from_workdir
        # On the device at hand what the rows leave out can be had: a compilation.
        here = compiled_here(c, DEVICES.value)
        sure = from_workdir.costs.estimated - {"program"}
        return from_workdir._replace(
            costs=from_workdir.costs._replace(program=here.seconds, estimated=sure), memory=here.memory
        )
    if MS_PER_CALL.value is None and MS_PER_IMAGE.value is None:
        return None
    call, image = (None if flag.value is None else flag.value / 1e3 for flag in (MS_PER_CALL, MS_PER_IMAGE))
    if image is not None:
        image /= have.tiles
    costs = of_point(known, timed_point(c).calls, image=image, call=call)
    sentences = [
        f"{flag.value:g} ms {what}"
        for flag, what in ((MS_PER_CALL, "a call"), (MS_PER_IMAGE, "a picture"))
        if flag.value
    ]
    return MeasuredCosts(
        costs, MEASURED_ON.value or "the device that this was given for", f"given: {', '.join(sentences)}"
    )


def main(config: DDADSettings, program: str) -> None:
    require_sound()
    require_method(config, "ddad", "launch.plan")
    started = time.perf_counter()
    have, data = pictures(config)
    around = AROUND_S + (time.perf_counter() - started if data else 0.0)
    todo = ddad_plan(config, sweep=program == "experiments.sweep" or bool(config.select))
    stages, known = STAGES[program], networks(config)
    measured = known_costs(config, have, todo.costly, stages, known)
    on_host = scoring(config, data, have, todo.cheap) if "sweep" in stages else {}
    if measured:
        measured = measured._replace(costs=measured.costs._replace(**on_host))
    prospect = Prospect(
        config, program, data.name if data else "pictures as told", have, todo, stages, DEVICES.value, known, measured,
        on_host, around, accelerators.asked(ACCELERATOR.value), PRICE.value, MEMORY.value,
    )  # fmt: skip
    print(plan_report(prospect))
    if SAVE.value:
        write_text(SAVE.value, json.dumps(plain(plan_figures(prospect)), indent=1), flag="--save")


def run_plan(argv: Sequence[str]) -> None:
    """``main`` of a command line."""
    try:
        own_flags, job = command(argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module(job.program)  # its flags are read along with those here
    sys.argv = [argv[0], *own_flags, *job.arguments]
    flags.FLAGS.set_default("workdir", ".")
    entry.run_experiment(lambda config, _: main(config, job.program))


if __name__ == "__main__":
    run_plan(sys.argv)
