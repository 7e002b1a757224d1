import re

import pytest
from jax._src.clusters import ClusterEnv
from launch_fakes import HOSTILE, Machine, same_as_kept

from ddad_jax.errors import InputError
from launch.job import Job
from launch.targets import slurm
from launch.targets.slurm import SlurmSettings, render_slurm


def job(workdir="runs/it's %j here", *more, shards=1):
    return Job("experiments.sweep", (f"--workdir={workdir}", *more), workdir, shards)


def settings(machine, **more):
    return SlurmSettings(**({"checkout": str(machine.checkout), "mounts": str(machine.mounts)} | more))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def started(machine, script, **environment):
    """A job script as SLURM starts it, in the checkout."""
    return machine.bash([str(machine.out / script), str(machine.out)], machine.checkout, **environment)


def test_one_job_is_this():
    one = SlurmSettings(
        partition="gpu", account="vision", time="12:00:00", nodes=2, tasks_per_node=4, gpus_per_node="a100:4",
        cpus_per_task=8, memory="200G", setup="module load cuda/12", checkout="/shared/ddad_jax",
    )  # fmt: skip
    same_as_kept("slurm", render_slurm(job("runs/demo", "--config=experiments/configs/demo.py"), one))


def test_one_process_a_node_is_this():
    one = SlurmSettings(nodes=2, gpus_per_node="4", checkout="/shared/ddad_jax")
    same_as_kept("slurm_nodes", render_slurm(job("runs/demo", "--config=experiments/configs/demo.py"), one))


@pytest.mark.parametrize(
    ("more", "environment", "devices"),
    [
        ({"gpus_per_node": "a100:4"}, {}, "0,1,2,3"),
        ({"gpus_per_node": "1"}, {}, "0"),
        ({}, {"SLURM_GPUS_ON_NODE": "2"}, "0,1"),
        ({}, {}, None),
        ({"gpus_per_node": "4"}, {"JAX_LOCAL_DEVICE_IDS": "3"}, "3"),
        ({"gpus_per_node": "4", "tasks_per_node": 4}, {}, None),
        ({"gpus_per_node": "4", "nodes": 1}, {}, None),
    ],
)
def test_a_process_alone_on_its_node_has_all_its_gpus(machine, more, environment, devices):
    machine.write(render_slurm(job("runs/a"), settings(machine, **({"nodes": 2} | more))))
    assert started(machine, "run.sbatch", **environment).returncode == 0
    assert machine.devices() == [devices]


def test_without_being_told_jax_gives_a_process_the_gpu_of_its_number(monkeypatch):
    slurm_says = {"JOB_ID": 7, "STEP_NODELIST": "a", "NTASKS": 4, "PROCID": 3, "LOCALID": 3, "STEP_NUM_NODES": 1}
    for name, value in slurm_says.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    detect = ClusterEnv.auto_detect_unset_distributed_params
    assert detect("a:1", None, None, None, "slurm", None) == ("a:1", 4, 3, [3])
    assert detect("a:1", None, None, [0, 1], "slurm", None) == ("a:1", 4, 3, [0, 1])


def test_gpus_that_no_process_would_use_are_refused():
    with pytest.raises(InputError, match="--slurm_tasks_per_node=2 with --slurm_gpus_per_node=a100:4: .*1 or 4"):
        render_slurm(job("runs/a"), SlurmSettings(tasks_per_node=2, gpus_per_node="a100:4"))


def test_shards_are_this():
    one = SlurmSettings(gpus_per_node="1", max_parallel=3, checkout="/shared/ddad_jax")
    workdir = "gs://my-bucket/runs/demo"
    same_as_kept("slurm_shards", render_slurm(job(workdir, "--config=experiments/configs/demo.py", shards=8), one))


def test_the_command_arrives_byte_for_byte(machine):
    machine.write(render_slurm(job("runs/a", *HOSTILE), settings(machine, nodes=2)))
    done = started(machine, "run.sbatch", SLURM_JOB_ID="7")
    assert done.returncode == 0, done.stderr
    assert machine.ran() == [["-u", "-m", "experiments.sweep", "--workdir=runs/a", *HOSTILE, "--coordinator=auto"]]
    assert machine.unharmed()


def test_one_process_needs_no_coordinator(machine):
    machine.write(render_slurm(job("runs/a"), settings(machine)))
    started(machine, "run.sbatch")
    assert "--coordinator=auto" not in machine.ran()[0]


def test_shards_are_three_jobs_that_wait_for_each_other(machine):
    done = machine.run(render_slurm(job(shards=8), settings(machine, max_parallel=3)))
    assert done.returncode == 0, done.stderr
    models, shards, collect = machine.calls("sbatch")
    assert not any("--dependency" in word for word in models)
    assert {"--array=0-7%3", "--dependency=afterok:101", "--kill-on-invalid-dep=yes"} <= set(shards)
    assert {"--dependency=afterok:102", "--kill-on-invalid-dep=yes"} <= set(collect)
    assert "submitted: 101 102 103" in done.stdout


def test_each_stage_has_its_flag(machine):
    machine.write(render_slurm(job("runs/a", *HOSTILE, shards=8), settings(machine)))
    started(machine, "models.sbatch")
    started(machine, "shards.sbatch", SLURM_ARRAY_TASK_ID="5")
    started(machine, "collect.sbatch")
    same = ["-u", "-m", "experiments.sweep", "--workdir=runs/a", *HOSTILE]
    assert machine.ran() == [[*same, "--models_only"], [*same, "--shard=5/8"], same]


def test_output_goes_below_the_workdir_whatever_its_name(machine):
    machine.run(render_slurm(job(), settings(machine)))
    (given,) = machine.calls("sbatch")
    assert f"--output={machine.checkout}/runs/it's %%j here/launch/%x-%j.log" in given
    assert f"--chdir={machine.checkout}" in given
    assert (machine.checkout / "runs/it's %j here/launch").is_dir()


def test_output_goes_below_home_where_the_workdir_is(machine, monkeypatch):
    monkeypatch.setenv("HOME", str(machine.root))
    machine.run(render_slurm(job("~/runs/x"), settings(machine)))
    assert f"--output={machine.root}/runs/x/launch/%x-%j.log" in machine.calls("sbatch")[0]
    assert not (machine.checkout / "~").exists()


def test_jobs_already_queued_are_taken_out_if_the_next_is_refused(machine):
    machine.say(sbatch=[0, 1])
    done = machine.run(render_slurm(job(shards=2), settings(machine)))
    assert done.returncode == 2 and "sbatch refused shards.sbatch" in done.stderr
    assert machine.calls("scancel") == [["101"]]


def test_near_its_time_limit_a_job_is_queued_again_so_many_times(machine):
    rendered = render_slurm(job("runs/a"), settings(machine, max_requeues=2))
    near = rendered.files["run.sbatch"].replace("step=$!\n", "step=$!\nkill -USR1 $$\n")
    machine.write(rendered._replace(files={**rendered.files, "run.sbatch": near}))
    assert (
        "queued again, restart 2 of 2"
        in started(machine, "run.sbatch", SLURM_JOB_ID="7", SLURM_RESTART_COUNT="1").stderr
    )
    assert machine.calls("scontrol") == [["requeue", "7"]]
    assert (
        "the time limit ends this job"
        in started(machine, "run.sbatch", SLURM_JOB_ID="7", SLURM_RESTART_COUNT="2").stderr
    )
    assert len(machine.calls("scontrol")) == 1


def test_the_status_of_the_run_is_that_of_the_job(machine):
    machine.say(run=[2])
    machine.write(render_slurm(job("runs/a"), settings(machine)))
    assert started(machine, "run.sbatch").returncode == 2


def test_setup_runs_before_and_a_container_around(machine):
    more = {
        "setup": "export SEEN='a b'\nunset_is_allowed=$NOT_SET",
        "container": "/images/it's.sif",
        "python": "python3 -q",
    }
    machine.write(render_slurm(job("runs/a"), settings(machine, **more)))
    done = started(machine, "run.sbatch")
    assert done.returncode == 0, done.stderr
    wanted = ["exec", "--nv", "/images/it's.sif", "python3", "-q", "-u", "-m", "experiments.sweep", "--workdir=runs/a"]
    assert machine.calls("apptainer") == [wanted]


def test_a_bucket_is_mounted_tried_and_given_as_a_folder(machine):
    machine.write(
        render_slurm(job("gs://my-bucket/runs/a b", "--config.data.root=gs://pictures/sets"), settings(machine))
    )
    done = started(machine, "run.sbatch")
    assert done.returncode == 0, done.stderr
    assert [call[-2:] for call in machine.calls("gcsfuse")] == [
        ["my-bucket", f"{machine.mounts}/my-bucket"],
        ["pictures", f"{machine.mounts}/pictures"],
    ]
    (given,) = machine.ran()
    assert given[3:] == [
        f"--workdir={machine.mounts}/my-bucket/runs/a b",
        f"--config.data.root={machine.mounts}/pictures/sets",
    ]


def test_options_of_sbatch_come_before_any_command():
    for text in render_slurm(job("runs/a", shards=2), SlurmSettings(setup="module load x")).files.values():
        lines = text.splitlines()
        directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
        assert not directives or directives == list(range(1, len(directives) + 1))
    script = render_slurm(job("runs/a"), SlurmSettings()).files["run.sbatch"]
    assert "#SBATCH --requeue\n" in script and "#SBATCH --open-mode=append\n" in script
    assert re.search(r"#SBATCH --signal=B:USR1@300\n", script)
    assert "#SBATCH --no-requeue\n" in render_slurm(job("runs/a"), SlurmSettings(requeue=False)).files["run.sbatch"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a b"), ("name", ""), ("partition", "gpu; rm"), ("account", "-x"), ("qos", "a\nb"), ("time", "soon"),
        ("gpus_per_node", "many"), ("memory", "64 GB"), ("nodes", 0), ("tasks_per_node", 0), ("signal_s", 0),
        ("constraint", "a b"), ("mounts", "a"), ("max_parallel", -1),
    ],
)  # fmt: skip
def test_a_setting_that_slurm_would_refuse_is_named(field, value):
    with pytest.raises(InputError, match=f"--slurm_{field}\\b"):
        render_slurm(job("runs/a"), SlurmSettings()._replace(**{field: value}))


@pytest.mark.parametrize("time", ["9", "9:59", "0:9:59"])
def test_a_job_is_not_queued_again_before_it_begins(time):
    with pytest.raises(InputError, match=f"--slurm_signal_s=300: .*--slurm_time={time}"):
        render_slurm(job("runs/a"), SlurmSettings(time=time))
    for enough in ("10", "10:00", "0:10:00", "1-0", "0-1:0", "0-0:10:0", "0"):
        render_slurm(job("runs/a"), SlurmSettings(time=enough))


def test_a_shard_is_one_process():
    with pytest.raises(InputError, match="--shards=2 with --slurm_nodes=2"):
        render_slurm(job("runs/a", shards=2), SlurmSettings(nodes=2))


def test_a_node_mounts_for_one_process():
    with pytest.raises(InputError, match="--slurm_tasks_per_node=4"):
        render_slurm(job("gs://my-bucket/a"), SlurmSettings(tasks_per_node=4))


@pytest.mark.parametrize("workdir", ["runs/a\nb", "runs\\a"])
def test_a_workdir_that_no_output_can_be_named_after(workdir):
    with pytest.raises(InputError, match="--workdir="):
        render_slurm(job(workdir), SlurmSettings())


def test_only_a_sweep_has_shards():
    with pytest.raises(InputError, match="--shards=2: only experiments.sweep"):
        render_slurm(Job("experiments.train", (), "runs/a", 2), SlurmSettings())


def test_every_setting_has_its_help():
    assert set(slurm.SETTINGS_HELP) == set(SlurmSettings._fields)
