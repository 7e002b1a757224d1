import pytest

from launch import tools
from launch.job import Job
from launch.targets import gke, slurm, tpu

JOB = Job("experiments.sweep", ("--workdir=gs://bucket/a",), "gs://bucket/a")


def test_missing_are_those_not_on_path():
    wanted = tools.needed("gcloud", "xpk", "bash")
    assert [tool.name for tool in tools.missing_tools(wanted, {"bash": "/bin/bash"}.get)] == ["gcloud", "xpk"]
    assert tools.missing_tools(wanted, lambda name: name) == ()


def test_a_missing_tool_is_told_with_how_to_get_it():
    told = tools.tools_text(tools.needed("gcloud", "sbatch")).splitlines()
    assert told[0].startswith("gcloud is not on") and "https://cloud.google.com/sdk" in told[0]
    assert told[1].startswith("sbatch is not on") and "login node" in told[1]


@pytest.mark.parametrize(
    ("rendered", "names"),
    [
        (slurm.render_slurm(JOB, slurm.SlurmSettings()), {"sbatch"}),
        (tpu.render_tpu(JOB, tpu.TpuSettings("v4-8", "us-west4-a")), {"gcloud", "git", "tar"}),
        (
            gke.render_gke(JOB, gke.GkeSettings("pods", "us-west4-a", tpu_type="v5litepod-16")),
            {"gcloud", "xpk", "kubectl"},
        ),
    ],
)
def test_targets_render_without_their_tools_and_name_them(rendered, names, monkeypatch):
    assert names <= {tool.name for tool in rendered.tools}
    assert all(tool.how for tool in rendered.tools)
