import signal
import subprocess
import time

import pytest
from launch_fakes import HOSTILE, Machine, same_as_kept

from ddad_jax.errors import InputError
from launch.job import Job
from launch.targets import gke
from launch.targets.gke import GkeSettings, render_gke

BUCKET = "gs://my-bucket/runs/it's here"
USUAL = {"cluster": "pods", "zone": "us-west4-a", "tpu_type": "v5litepod-16"}


def job(workdir=BUCKET, *more):
    return Job("experiments.sweep", (f"--workdir={workdir}", *more), workdir)


def settings(machine, **more):
    mine = {"checkout": str(machine.checkout), "mounts": str(machine.mounts), "folder": str(machine.root / "app")}
    return GkeSettings(**(USUAL | mine | more))


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.commit()
    return made


def test_scripts_are_these():
    one = GkeSettings(**USUAL, project="my-project", num_slices=2, checkout="/home/me/ddad_jax")
    same_as_kept("gke", render_gke(job(BUCKET, "--config=experiments/configs/demo.py"), one))


def test_the_command_arrives_byte_for_byte(machine):
    (machine.checkout / "unknown to git.txt").touch()
    done = machine.run(render_gke(job(BUCKET, *HOSTILE), settings(machine)))
    assert done.returncode == 0, done.stderr
    workdir = f"--workdir={machine.mounts}/my-bucket/runs/it's here"
    assert machine.ran() == [["-u", "-m", "experiments.sweep", workdir, *HOSTILE, "--coordinator=auto"]]
    assert machine.unharmed() and not machine.exists()
    assert (machine.root / "app/constraints.txt").exists() and not (machine.root / "app/unknown to git.txt").exists()


def test_create_asks_for_what_the_settings_say(machine):
    done = machine.run(render_gke(job(), settings(machine, num_slices=2, priority="low", reservation="ours")))
    (asked,) = machine.calls("xpk", "create")
    for word in (
        "--cluster=pods", "--zone=us-west4-a", "--workload=ddad", "--tpu-type=v5litepod-16", "--num-slices=2",
        "--priority=low", "--reservation=ours", "--max-restarts=5", "--restart-on-exit-codes=1",
        "--base-docker-image=python:3.11-bookworm", "--script-dir=source",
    ):  # fmt: skip
        assert word in asked
    assert machine.calls("kubectl")[0][:2] == ["logs", "--selector=xpk.google.com/workload=ddad"]
    assert "logs.txt" in done.stderr


def test_a_workload_that_fails_is_told_with_its_logs_and_deleted(machine):
    machine.say(run=[7])
    done = machine.run(render_gke(job(), settings(machine)))
    assert done.returncode == 1 and "ddad failed: see the last lines of each worker" in done.stderr
    assert machine.calls("kubectl") and not machine.exists()


def test_a_worker_that_cannot_write_the_bucket_says_so(machine):
    (machine.mounts / "my-bucket").mkdir(parents=True)
    (machine.mounts / "my-bucket/runs").write_text("a file where a folder should be")
    done = machine.run(render_gke(job(), settings(machine)))
    assert "gs://my-bucket/runs/it's here cannot be written" in done.stderr
    assert done.returncode == 1 and not machine.ran() and not machine.exists()


def test_waiting_has_a_limit(machine):
    machine.say(timeout=124)
    done = machine.run(render_gke(job(), settings(machine, wait_minutes=5)))
    assert done.returncode == 1 and "did not end within --gke_wait_minutes" in done.stderr
    assert machine.calls("xpk", "list", "--timeout=300") and not machine.exists()


def test_a_create_that_fails_deletes_nothing(machine):
    machine.say(create=[1])
    done = machine.run(render_gke(job(), settings(machine)))
    assert done.returncode == 2 and "xpk could not create ddad" in done.stderr
    assert not machine.calls("xpk", "delete")


@pytest.mark.parametrize("theirs", [False, True])
def test_a_signal_while_it_is_created_leaves_nothing_but_what_others_made(machine, theirs):
    machine.say(creating=20)
    rendered = render_gke(job(), settings(machine))
    machine.write(rendered)
    with subprocess.Popen(["bash", str(machine.out / "launch.sh")], env=machine.environment) as launched:
        until = time.monotonic() + 60
        while not (machine.exists() and machine.calls("xpk", "create")) and time.monotonic() < until:
            time.sleep(0.02)
        if theirs:
            (machine.root / "exists").write_text("launch-1-2-3")
        launched.send_signal(signal.SIGTERM)
        assert launched.wait(15) == 128 + signal.SIGTERM
    assert machine.exists() == theirs and bool(machine.calls("xpk", "delete")) != theirs


def test_what_may_be_of_another_launch_is_told_and_not_deleted(machine):
    machine.say(create=[1], describe=[1])
    rendered = render_gke(job(), settings(machine))
    script = rendered.files["launch.sh"].replace("look_s=2", "look_s=0")
    done = machine.run(rendered._replace(files={**rendered.files, "launch.sh": script}))
    assert done.returncode == 3 and "could not be found out whether ddad was created" in done.stderr
    assert not machine.calls("xpk", "delete")


def test_keep_leaves_it(machine):
    done = machine.run(render_gke(job(), settings(machine, keep=True)))
    assert done.returncode == 0 and machine.exists() and "xpk workload delete --workload=ddad" in done.stderr


def test_a_deletion_that_fails_is_an_error_with_the_command(machine):
    machine.say(delete=[1])
    done = machine.run(render_gke(job(), settings(machine)))
    assert done.returncode == 3 and "could not be deleted" in done.stderr


def test_an_image_of_ones_own_is_taken_as_it_is(machine):
    (machine.root / "app").mkdir()
    done = machine.run(render_gke(job(), settings(machine, image="us-docker.pkg.dev/p/ddad/run:1")))
    assert done.returncode == 0, done.stderr
    (asked,) = machine.calls("xpk", "create")
    assert "--docker-image=us-docker.pkg.dev/p/ddad/run:1" in asked
    assert not any("script-dir" in word or "base-docker" in word for word in asked)
    assert not any("pip" in argv for argv in machine.calls("python")) and len(machine.ran()) == 1


def test_a_storage_of_the_cluster_is_not_mounted_again(machine):
    rendered = render_gke(job(), settings(machine, storage="runs"))
    done = machine.run(rendered)
    assert done.returncode == 0, done.stderr
    assert machine.ran()[0][3] == f"--workdir={machine.mounts}/runs/it's here"
    assert not machine.calls("gcsfuse")
    assert any("--storage=runs" in argv for argv in machine.calls("xpk", "create"))
    assert any("xpk storage attach runs" in note and "--bucket=my-bucket" in note for note in rendered.notes)


def test_another_device_is_one_node_without_a_coordinator(machine):
    done = machine.run(render_gke(job(), settings(machine, tpu_type="", device_type="h100-80gb-8", extras="cuda")))
    assert done.returncode == 0, done.stderr
    assert "--coordinator=auto" not in machine.ran()[0]
    assert any("--device-type=h100-80gb-8" in argv for argv in machine.calls("xpk"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cluster", ""), ("zone", "europe"), ("name", "Ddad"), ("name", "a" * 41), ("name", "a-"), ("tpu_type", ""),
        ("device_type", "n2-standard-32-1"), ("priority", "urgent"), ("num_slices", 0), ("base_image", "a b"),
        ("image", "-x"), ("folder", "app"), ("storage", "A"), ("extras", ""), ("project", "P"), ("max_restarts", -1),
    ],
)  # fmt: skip
def test_a_setting_that_would_be_refused_is_named(field, value):
    with pytest.raises(InputError, match=f"--gke_{field}"):
        render_gke(job(), GkeSettings(**USUAL)._replace(**{field: value}))


def test_a_python_belongs_to_an_image():
    with pytest.raises(InputError, match="--gke_python=python3.12 without --gke_image"):
        render_gke(job(), GkeSettings(**USUAL, python="python3.12"))


def test_a_container_keeps_no_folder():
    with pytest.raises(InputError, match="--workdir=runs/a: .*gs://bucket/path"):
        render_gke(job("runs/a"), GkeSettings(**USUAL))


def test_a_storage_holds_one_bucket():
    with pytest.raises(InputError, match="my-bucket, pictures"):
        render_gke(job(BUCKET, "--config.data.root=gs://pictures/a"), GkeSettings(**USUAL, storage="runs"))


def test_every_setting_has_its_help():
    assert set(gke.SETTINGS_HELP) == set(GkeSettings._fields)
