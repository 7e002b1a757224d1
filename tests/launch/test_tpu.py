import functools
import re
import signal
import subprocess
import time

import pytest
from launch_fakes import HOSTILE, Machine, same_as_kept

from ddad_jax.errors import InputError
from launch.job import Job
from launch.targets import tpu
from launch.targets.tpu import TpuSettings, render_tpu

BUCKET = "gs://my-bucket/runs/it's here"


def job(workdir=BUCKET, *more):
    return Job("experiments.sweep", (f"--workdir={workdir}", *more), workdir)


def settings(machine, **more):
    usual = {"type": "v5litepod-16", "zone": "us-west4-a", "project": "my-project", "spot": True, "poll_s": 0}
    return TpuSettings(**(usual | {"checkout": str(machine.checkout), "mounts": str(machine.mounts)} | more))


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    (made.checkout / "gone.txt").touch()
    made.commit()
    return made


def test_scripts_are_these():
    one = TpuSettings("v5litepod-16", "us-west4-a", spot=True, labels="team=vision", checkout="/home/me/ddad_jax")
    same_as_kept("tpu", render_tpu(job(BUCKET, "--config=experiments/configs/demo.py"), one))


def test_once_active_every_worker_gets_the_command_byte_for_byte(machine):
    more = {"labels": "team=vision", "service_account": "a@b.com", "wait_minutes": 7}
    machine.say(state=["ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"])
    done = machine.run(render_tpu(job(BUCKET, *HOSTILE), settings(machine, **more)))
    assert done.returncode == 0, done.stderr
    (asked,) = machine.calls("gcloud", "create")
    assert {
        "--node-id=ddad", "--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--spot",
        "--zone=us-west4-a", "--project=my-project", "--service-account=a@b.com", "--valid-until-duration=7m",
    } <= set(asked)  # fmt: skip
    assert any(re.fullmatch(r"--labels=team=vision,ddad_launch=launch-[0-9-]{1,56}", word) for word in asked)
    workdir = f"--workdir={machine.mounts}/my-bucket/runs/it's here"
    wanted = ["-u", "-m", "experiments.sweep", workdir, *HOSTILE, "--coordinator=auto"]
    assert machine.ran() == [wanted, wanted]
    assert machine.unharmed()
    assert not machine.exists()


def test_what_git_tracks_is_sent_as_it_is_now(machine):
    (machine.checkout / "constraints.txt").write_text("changed\n")
    (machine.checkout / "new.txt").write_text("unknown to git\n")
    (machine.checkout / "gone.txt").unlink()
    machine.say(delete=[1])  # so that the workers can be looked at
    done = machine.run(render_tpu(job(), settings(machine, keep=True)))
    worker = machine.root / "workers/1/ddad"
    assert (worker / "constraints.txt").read_text() == "changed\n"
    assert not (worker / "new.txt").exists() and not (worker / "gone.txt").exists()
    assert "M constraints.txt" in done.stderr and "not sent:\nnew.txt" in done.stderr


def test_a_create_that_fails_leaves_and_deletes_nothing(machine):
    machine.say(create=[1])
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 2 and "ddad could not be asked for" in done.stderr
    assert not machine.calls("gcloud", "delete")


def test_what_exists_already_is_left_alone(machine):
    (machine.root / "exists").touch()
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 2 and "ddad exists already" in done.stderr and "--tpu_reuse" in done.stderr
    assert machine.exists() and not machine.calls("gcloud", "delete") and not machine.calls("gcloud", "create")


def test_nothing_is_asked_for_while_it_is_unknown_what_exists(machine):
    (machine.root / "exists").touch()
    machine.say(describe=[1])
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 2 and "UNAVAILABLE" in done.stderr and "nothing was asked for" in done.stderr
    assert machine.exists() and not machine.calls("gcloud", "create") and not machine.calls("gcloud", "delete")


def refused(machine, describe=0):
    """Between the first look and the request another launch takes the name."""
    machine.say(create=[1], describe=[0, describe])
    rendered = render_tpu(job(), settings(machine))
    script = rendered.files["launch.sh"].replace("look_s=2", "look_s=0")
    (machine.root / "theirs").write_text('["--labels=ddad_launch=launch-1-2-3"]')
    script = script.replace("\nask_for() {\n", '\nask_for() {\n  mv "$HOME/theirs" "$HOME/exists"\n')
    return machine.run(rendered._replace(files={**rendered.files, "launch.sh": script}))


def test_a_name_that_another_launch_has_taken_is_left_alone(machine):
    done = refused(machine)
    assert done.returncode == 2 and "ddad is another launch's" in done.stderr
    assert machine.exists() and not machine.calls("gcloud", "delete")


def test_what_may_be_of_another_launch_is_told_and_not_deleted(machine):
    done = refused(machine, describe=1)
    assert done.returncode == 3 and "could not be found out whether ddad was made" in done.stderr
    assert "queued-resources delete ddad --force" in done.stderr
    assert machine.exists() and not machine.calls("gcloud", "delete")


def test_what_a_failed_request_has_made_is_deleted(machine):
    rendered = render_tpu(job(), settings(machine))
    script = rendered.files["launch.sh"].replace('ddad_launch=$launch" ||', 'ddad_launch=$launch" && false ||')
    done = machine.run(rendered._replace(files={**rendered.files, "launch.sh": script}))
    assert done.returncode == 2 and "could not be asked for" in done.stderr
    assert machine.calls("gcloud", "delete") and not machine.exists()


def test_reuse_takes_what_exists(machine):
    (machine.root / "exists").touch()
    done = machine.run(render_tpu(job(), settings(machine, reuse=True)))
    assert done.returncode == 0 and len(machine.ran()) == 2
    assert not machine.calls("gcloud", "create") and not machine.exists()


@pytest.mark.parametrize(("state", "spot"), [("FAILED", True), ("SUSPENDED", False)])
def test_a_request_that_ends_is_told_and_deleted(machine, state, spot):
    machine.say(state=["ACCEPTED", state])
    done = machine.run(render_tpu(job(), settings(machine, spot=spot)))
    assert done.returncode == 2
    assert f"ddad is {state}" in done.stderr and "the reason that Google gives" in done.stdout + done.stderr
    assert not machine.exists() and not machine.ran()


def test_waiting_has_a_limit(machine):
    machine.say(state=["WAITING_FOR_RESOURCES"])
    rendered = render_tpu(job(), settings(machine))
    short = rendered.files["launch.sh"].replace("wait_s=7200", "wait_s=0")
    done = machine.run(rendered._replace(files={**rendered.files, "launch.sh": short}))
    assert done.returncode == 2 and "not ACTIVE within --tpu_wait_minutes" in done.stderr
    assert not machine.exists()


def test_a_pre_empted_tpu_is_deleted_and_asked_for_again(machine):
    # the first SSH and the set-up pass; the run is cut off, and the state tells why
    machine.say(ssh=[0, 0, 255, 0], state=["ACTIVE", "SUSPENDING", "ACTIVE"], workers=1)
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 0, done.stderr
    assert "pre-empted; it is asked for again" in done.stderr
    assert len(machine.calls("gcloud", "create")) == 2 and len(machine.calls("gcloud", "delete")) == 2
    assert len(machine.ran()) == 1 and not machine.exists()


@pytest.mark.slow
def test_pre_emption_may_show_in_the_machine_first(machine):
    machine.say(ssh=[0, 0, 1, 0], node=["PREEMPTED"], workers=1)
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 0 and len(machine.calls("gcloud", "create")) == 2


def test_retries_have_a_limit(machine):
    machine.say(ssh=[255], state=["ACTIVE", "SUSPENDED"] * 9)
    done = machine.run(render_tpu(job(), settings(machine, retries=2)))
    assert done.returncode == 1 and "pre-empted 3 times: --tpu_retries=2" in done.stderr
    assert len(machine.calls("gcloud", "create")) == 3 and not machine.exists()


def test_a_run_that_ended_while_the_connection_was_broken_is_not_started_again(machine):
    machine.say(ssh_after=[0, 0, 255, 0], workers=1)
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 0 and "connecting again" in done.stderr
    assert len(machine.calls("gcloud", "create")) == 1 and len(machine.ran()) == 1


def test_a_run_that_goes_on_while_the_connection_is_broken_is_followed(machine):
    machine.say(seconds=1, run=[4])
    machine.write(render_tpu(job(), settings(machine)))
    worker = machine.out / "worker.sh"
    (machine.out / ".venv/bin").mkdir(parents=True)
    (machine.out / ".venv/bin/python").symlink_to(machine.root / "bin/python3")
    with subprocess.Popen(["bash", str(worker), "run", "1"], env=machine.environment) as connection:
        while not machine.ran():
            time.sleep(0.05)
        connection.kill()
    assert machine.bash([str(worker), "run", "1"]).returncode == 4
    assert len(machine.ran()) == 1


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"ssh": [1]}, "worker 0 cannot be reached by SSH"),
        ({"scp": [1]}, "the code could not be copied to all workers"),
        ({"pip": [0, 1]}, "a worker could not be set up"),
        ({"run": [0, 7]}, "the run failed, or a worker did not start (status 7"),
        ({"gcsfuse": 1, "workers": 1}, "gs://my-bucket cannot be mounted"),
    ],
)
def test_a_worker_that_fails_ends_the_launch_and_its_costs(machine, plan, told):
    machine.say(**plan)
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode not in (0, 3)
    assert told in done.stderr
    assert not machine.exists() and len(machine.calls("gcloud", "create")) == 1


def test_keep_says_what_goes_on_costing(machine):
    machine.say(workers=1)
    done = machine.run(render_tpu(job(), settings(machine, keep=True)))
    assert done.returncode == 0 and machine.exists()
    assert "goes on costing" in done.stderr and "queued-resources delete ddad --force --zone=us-west4-a" in done.stderr


def test_a_deletion_that_fails_is_an_error_with_the_command(machine):
    machine.say(delete=[1], workers=1)
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 3
    assert "could not be deleted and may go on costing" in done.stderr and "--project=my-project" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_who_stops_the_launch_stops_the_costs_at_once(machine, number):
    machine.say(seconds=20, workers=1)
    machine.write(render_tpu(job(), settings(machine)))
    words = ["bash", str(machine.out / "launch.sh")]
    # Of a script in the background a shell takes Ctrl-C away; give it back.
    give_back = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(words, env=machine.environment, stderr=subprocess.DEVNULL, preexec_fn=give_back) as launched:
        until = time.monotonic() + 60
        while not machine.ran() and time.monotonic() < until:
            time.sleep(0.05)
        launched.send_signal(number)
        assert launched.wait(15) == 128 + number
    assert machine.ran() and not machine.exists()


def test_a_local_workdir_comes_back_from_the_one_worker(machine):
    machine.say(workers=1)
    workdir = "runs/it's $(touch pwned)"
    done = machine.run(render_tpu(job(workdir), settings(machine, type="v5litepod-8", spot=False)))
    assert done.returncode == 0, done.stderr
    assert (machine.checkout / workdir / "results.csv").read_text() == "w\n"
    assert machine.unharmed() and not machine.exists()


def test_a_local_workdir_comes_back_from_a_run_that_failed(machine):
    machine.say(workers=1, run=[5])
    done = machine.run(render_tpu(job("runs/a"), settings(machine, type="v4-8")))
    assert done.returncode == 5 and (machine.checkout / "runs/a/results.csv").exists()


def test_a_workdir_below_home_is_that_of_each_machine(machine, monkeypatch):
    machine.say(workers=1)
    monkeypatch.setenv("HOME", str(machine.root))
    done = machine.run(render_tpu(job("~/runs/a b"), settings(machine, type="v4-8")))
    assert done.returncode == 0, done.stderr
    assert (machine.root / "runs/a b/results.csv").exists() and not machine.exists()
    with pytest.raises(InputError, match="--workdir=~me/a: .*expected ~/path"):
        render_tpu(job("~me/a"), settings(machine, type="v4-8"))


@pytest.mark.parametrize("status", [0, 5])
def test_results_that_cannot_be_fetched_are_not_deleted_with_the_tpu(machine, status):
    machine.say(workers=1, run=[status], scp=[0, 1])
    done = machine.run(render_tpu(job("runs/a"), settings(machine, type="v4-8")))
    assert done.returncode == (status or 1)
    for word in ("ddad IS NOT DELETED AND GOES ON COSTING", "--tpu_reuse", "queued-resources delete ddad"):
        assert word in done.stderr
    assert machine.exists() and not machine.calls("gcloud", "delete")


def test_what_a_kept_tpu_has_is_not_deleted_if_it_cannot_be_reached(machine):
    (machine.root / "exists").touch()
    machine.say(workers=1, ssh=[1])
    done = machine.run(render_tpu(job("runs/a"), settings(machine, type="v4-8", reuse=True)))
    assert done.returncode == 1 and "IS NOT DELETED" in done.stderr and machine.exists()


def test_a_folder_that_results_cannot_come_to_is_told_before_it_costs(machine):
    (machine.checkout / "runs").touch()
    done = machine.run(render_tpu(job("runs/a"), settings(machine, type="v4-8")))
    assert done.returncode == 2 and "runs/a cannot be made" in done.stderr
    assert not machine.calls("gcloud", "create")


def test_a_flat_bucket_is_refused_before_it_costs(machine):
    machine.say(hierarchical=[""])
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 2 and "hierarchical namespace" in done.stderr
    assert not machine.calls("gcloud", "create", "--spot")


def test_a_bucket_that_is_not_there_is_told_with_the_account(machine):
    machine.say(ls=[1])
    done = machine.run(render_tpu(job(), settings(machine)))
    assert done.returncode == 2
    assert re.search(r"gs://my-bucket does not exist, or me@example.com may not .*objectUser", done.stderr)
    assert not machine.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", ""), ("type", "a100"), ("zone", ""), ("zone", "us-west4"), ("name", "Ddad"), ("name", "a" * 64),
        ("name", "-ddad"), ("project", "x"), ("labels", "Team=a"), ("labels", "team"), ("runtime", "a b"),
        ("service_account", "me"), ("mounts", "relative"), ("extras", "tpu];x"), ("retries", -1), ("wait_minutes", 0),
        ("type", "v9-8"),
    ],
)  # fmt: skip
def test_a_setting_that_google_would_refuse_is_named(field, value):
    one = TpuSettings(type="v4-8", zone="us-west4-a")._replace(**{field: value})
    with pytest.raises(InputError, match=f"--tpu_{field}"):
        render_tpu(job(), one)


def test_several_workers_need_a_bucket():
    with pytest.raises(InputError, match="--workdir=runs/a: v5litepod-16 has several workers"):
        render_tpu(job("runs/a"), TpuSettings("v5litepod-16", "us-west4-a"))


def test_a_pod_is_one_run():
    with pytest.raises(InputError, match="--shards=4"):
        render_tpu(job()._replace(shards=4), TpuSettings("v4-8", "us-west4-a"))


def test_the_launch_sets_its_own_flags():
    with pytest.raises(InputError, match="--coordinator=h:1: the launch sets"):
        render_tpu(job(BUCKET, "--coordinator=h:1"), TpuSettings("v4-8", "us-west4-a"))


def test_every_setting_has_its_help():
    assert set(tpu.SETTINGS_HELP) == set(TpuSettings._fields)
