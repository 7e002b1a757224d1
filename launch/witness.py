"""L8. ``python -m launch.witness WORKDIR [--leave]``, on a host: which code is here, and is WORKDIR shared by all?

A token comes on standard input. The first host leaves it in WORKDIR, every other waits until it finds it there. Prints
JSON: a hash of the code, and the token that lies there in the end.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ".launch-token"
WAIT_S = 30.0
"""A network file system may take as long to show what another host has written."""


def code_hash(root: Path = ROOT) -> str:
    """Of every source file of the three packages, by name and content."""
    digest = hashlib.sha256()
    for package in ("ddad_jax", "experiments", "launch"):
        for path in sorted((root / package).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def main(arguments: list[str]) -> None:
    leave, workdir = "--leave" in arguments, Path(arguments[0]).expanduser()
    token, there = sys.stdin.readline().strip(), ""
    try:
        if leave:
            workdir.mkdir(parents=True, exist_ok=True)
            (workdir / FILE).write_text(token)
        until = time.monotonic() + WAIT_S
        while there != token and time.monotonic() < until:
            there = (workdir / FILE).read_text() if (workdir / FILE).exists() else ""
            time.sleep(0 if there == token else 0.2)
    except OSError as error:
        sys.exit(f"{workdir}: {error.strerror}")
    print(json.dumps({"code": code_hash(), "token": there}))


if __name__ == "__main__":
    main(sys.argv[1:])
