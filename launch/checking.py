"""L8. ``python -m launch.checking experiments.sweep FLAGS``: would the program take these flags? Nothing is computed.

The program's own parsing and checks, in a process of its own that touches no accelerator; prints what it found as JSON.
"""

import importlib
import json
import sys
from pathlib import Path

from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.settings.sections import Settings
from experiments import entry


def main(program: str, arguments: list[str]) -> None:
    importlib.import_module(program)  # its flags

    def told(config: Settings, _: Path) -> None:
        todo = method_of(config).plan(config, sweep=program == "experiments.sweep" or bool(config.select))
        print(json.dumps({"workdir": entry.WORKDIR.value, "points": len(todo.costly)}))

    sys.argv = [program, *arguments]
    entry.run_experiment(told)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
