"""Score the selected point alone: ``python -m experiments.evaluate --config= --workdir=``, training what is missing.

With ``select = synthetic`` the points of the sweep are scored, too: the selected one is chosen from them.
"""

from pathlib import Path

from ml_collections import ConfigDict

from experiments import entry
from experiments.pipeline import run_all


def main(config: ConfigDict, workdir: Path) -> None:
    run_all(config, workdir, sweep=False)


if __name__ == "__main__":
    entry.run(main)
