"""L8. Programs that a target needs on this machine: how one gets them, and which are missing."""

import shutil
from collections.abc import Callable, Sequence

from launch.rendered import Tool

HOW = {
    "bash": "every Linux and macOS has it; on Windows use WSL",
    "git": "https://git-scm.com/downloads; the code that is sent is what git tracks",
    "tar": "every Linux and macOS has it",
    "base64": "every Linux and macOS has it (coreutils)",
    "ssh": "OpenSSH: https://www.openssh.com, or the package openssh-client",
    "sbatch": "it belongs to SLURM: launch on a login node of the cluster, or copy the rendered folder there",
    "scancel": "it belongs to SLURM, as sbatch does",
    "gcloud": "https://cloud.google.com/sdk/docs/install, then: gcloud auth login; gcloud config set project PROJECT",
    "xpk": "pip install xpk in an environment of its own (https://github.com/AI-Hypercomputer/xpk), and gcloud",
    "kubectl": "gcloud components install kubectl gke-gcloud-auth-plugin, or the packages of these names",
}
"""name -> how one gets it."""


def needed(*names: str) -> tuple[Tool, ...]:
    """The tools of these names, which ``HOW`` has."""
    return tuple(Tool(name, HOW[name]) for name in names)


def missing_tools(tools: Sequence[Tool], which: Callable[[str], str | None] = shutil.which) -> tuple[Tool, ...]:
    """Those that are not on this machine's PATH."""
    return tuple(tool for tool in tools if which(tool.name) is None)


def tools_text(tools: Sequence[Tool]) -> str:
    """One line a missing tool, for a warning or an error."""
    return "\n".join(f"{tool.name} is not on this machine's PATH. How to get it: {tool.how}" for tool in tools)
