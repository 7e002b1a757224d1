"""The paper's tables and figures as commands: what is missing is run, the paper's number stands beside ours.

    python -m experiments.paper --list
    python -m experiments.paper --table=12 --data=/path/to/mvtec_ad --categories=bottle,screw --plan
    python -m experiments.paper --table=12 --data=/path/to/mvtec_ad --categories=bottle,screw --size=gpu

``--size=cpu`` is a small network for two cores, ``gpu`` the paper's size and settings. Runs lie in WORKDIR/SIZE, one
training for each category and network, whatever the tables ask for; after an interruption the same command goes on.
The table is printed and written there as table12.csv, .md and .html. Table 4 takes two data sets:
``--data=mvtec=/path/to/mvtec_ad,visa=/path/to/VisA``.
"""

from pathlib import Path

from absl import flags

from ddad_jax.backbones import BACKBONES
from ddad_jax.errors import InputError
from experiments import entry
from experiments.papers.overview import catalogue, described, planned
from experiments.papers.running import Ask, run_missing, states, weights_of
from experiments.papers.settings import DATA
from experiments.papers.table import Table
from experiments.papers.writing import write_paper_table

TABLE = flags.DEFINE_string("table", None, "Which: 1 to 8, 12 to 19, figure4, figure7 or figure8.")
DATA_ROOTS = flags.DEFINE_list("data", None, "Root of the data set, or NAME=ROOT of mvtec, visa, mtd.")
CATEGORIES = flags.DEFINE_list("categories", [], "Which to run; all of the paper's that are there.")
SIZE = flags.DEFINE_enum("size", "cpu", ["cpu", "gpu"], "cpu: small networks, minutes; gpu: the paper's.")
PLAN = flags.DEFINE_bool("plan", False, "Say what would be run, and run nothing.")
LIST = flags.DEFINE_bool("list", False, "All tables: their data, their cost, what is there.")
BACKBONE = flags.DEFINE_enum("backbone", "", ["", *BACKBONES], "Feature extractor of rows that name none.")
WEIGHTS = flags.DEFINE_list("backbone_weights", [], "Files of weights, or folders of them, by torchvision's names.")
MINUTES = flags.DEFINE_float("max_minutes", None, "Of each training and adaptation; the size's own.", lower_bound=0.0)
REFERENCE = flags.DEFINE_bool("reference", False, "The published code's behaviour, quirks included; with --size=gpu.")


def main() -> None:
    workdir = Path(entry.WORKDIR.value or "runs/paper").expanduser()
    if REFERENCE.value and SIZE.value != "gpu":
        raise InputError("--reference: expected --size=gpu, the size of the published code")
    ask = Ask(
        {}, workdir, SIZE.value, tuple(CATEGORIES.value), BACKBONE.value, weights_of(WEIGHTS.value), MINUTES.value,
        REFERENCE.value, entry.trackers(),
    )  # fmt: skip
    if LIST.value:
        print(catalogue(ask))
        return
    if not TABLE.value:
        raise InputError("--table: expected a table or figure of the paper; --list lists them")
    table = described(TABLE.value).table
    ask = ask._replace(roots=roots(table, DATA_ROOTS.value or []))
    if PLAN.value:
        print(planned(states(table, ask)))
        return
    print(write_paper_table(table, ask, run_missing(table, ask)))


def roots(table: Table, given: list[str]) -> dict[str, Path]:
    """Data set -> its root, of those that the table takes.

    Raises:
      InputError: none is given, two of one data set, a name that the table does not take, or a root without a name
        where it takes two.
    """
    takes, found, said = table.data(), dict[str, Path](), dict[str, str]()
    for part in given:
        name, named, path = part.partition("=")
        name, path = (name, path) if named and name in DATA else (takes[0], part)
        if name not in takes or (len(takes) > 1 and path == part):
            raise InputError(f"--data={part}: expected {' and '.join(f'{of}=ROOT' for of in takes)} for this table")
        if name in found:
            raise InputError(f"--data: {said[name]} and {part} are both {DATA[name].name}; expected one root of it")
        found[name], said[name] = Path(path).expanduser(), part
    if not found:
        what = "; ".join(f"{DATA[name].name} ({DATA[name].layout})" for name in takes)
        raise InputError(f"--data: expected the root of {what}. Get it from those who publish the set")
    return found


if __name__ == "__main__":
    entry.run_without_config(main)
