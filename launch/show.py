"""L8. A rendered launch as text: what would be written and run, so that it can be read and pasted."""

import shlex
from pathlib import Path

from launch import tools
from launch.rendered import LaunchCommand, Rendered


def placed(step: LaunchCommand, rendered: Rendered, out: Path) -> tuple[str, ...]:
    """The step's command; a word of it that is the name of a rendered file stands for where that lies below ``out``."""
    return tuple(str(out / word) if word in rendered.files else word for word in step.argv)


def rendered_text(rendered: Rendered, out: Path) -> str:
    """Files with their text, commands quoted for a shell, notes, and which tools this machine lacks."""
    parts = []
    for name, text in rendered.files.items():
        parts.append(f"# file {out / name}\n{text.rstrip()}\n")
    for number, step in enumerate(rendered.steps, start=1):
        parts.append(
            f"# step {number} of {len(rendered.steps)}: {step.what}\n{shlex.join(placed(step, rendered, out))}\n"
        )
    parts += [f"# note: {' '.join(note.split())}\n" for note in rendered.notes]
    if missing := tools.missing_tools(rendered.tools):
        parts.append("".join(f"# warning: {line}\n" for line in tools.tools_text(missing).splitlines()))
    return "\n".join(parts)
