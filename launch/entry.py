"""L8. What the programs of launch share: flags and errors a user can read.

Not ``experiments.entry``, which asks JAX for its devices: a launcher must leave them to those it starts.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags

from ddad_jax.engine import stopping
from ddad_jax.errors import InputError, disk_failure


def run_launcher(main: Callable[[list[str]], int], argv: Sequence[str], *, required: Sequence[str] = ()) -> None:
    """Parse the flags of ``argv`` (the program's name first) and end with the status of ``main(what is left)``.

    An InputError, a flag that cannot be used, or a disk that fails is one line without a traceback and status 2; Ctrl-C
    and SIGTERM are one line and status 130 or 143.
    """

    def parse(argv: list[str]) -> list[str]:
        try:
            left = flags.FLAGS(argv)
            for name in required:
                if not flags.FLAGS[name].present or not str(flags.FLAGS[name].value).strip():
                    raise InputError(f"--{name} is missing")
            return left
        except (flags.Error, InputError) as error:
            refuse(error)

    def guarded(argv: list[str]) -> NoReturn:
        try:
            sys.exit(main(argv[1:]))
        except InputError as error:
            refuse(error)
        except OSError as error:
            if failure := disk_failure(error):
                refuse(failure)
            raise

    try:
        with stopping.watched():
            app.run(guarded, argv=list(argv), flags_parser=parse)
    except stopping.Stopped as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.status)


def refuse(error: Exception) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
