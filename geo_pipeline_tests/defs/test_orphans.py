"""Killed and interrupted commands: real processes, a slow photo server, a training that takes its time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

from geo_pipeline.defs.history import History
from geo_pipeline.defs.orphans import LAUNCHED_TAG, close_books
from geo_pipeline.lock import shared
from geo_pipeline.profile import PROJECT_FOLDER, Layout
from geo_pipeline_tests.command_line import (
    geo_pipeline,
    group_is_gone,
    instance_of,
    run_statuses,
    started,
    wait_until,
)
from geo_pipeline_tests.crawl.servers import PhotoServer

SELECTED = "url_lists, photo_shards"
PHOTOS_OF_A_SET = 40
FOLDER = "world_300-000"
IN_FLIGHT = 4
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@dataclass(frozen=True)
class SlowCrawl:
    """A profile whose 120 photos come from a server that can be slowed down, and its data folder."""

    server: PhotoServer
    home: Path
    profile: Path

    def command(self) -> list[str]:
        return ["--profile", str(self.profile), "materialize", "--stale", SELECTED]

    def photos_asked(self) -> list[str]:
        return [path for path in self.server.paths() if path.startswith("/photos/")]

    def stop_in_the_middle(self, stop: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str, list[str]]:
        """Exit code and output of a command that is stopped while it crawls, and the photos it asked for."""
        self.server.delay_seconds = 0.4
        with started(self.home, *self.command()) as process:
            wait_until(lambda: len(self.photos_asked()) >= 20, 60)
            stop(process)
            output, _ = process.communicate(timeout=20)
            wait_until(lambda: group_is_gone(process), 20)
        self.server.delay_seconds = 0.0
        return process.returncode, output, self.photos_asked()

    def pool(self) -> list[str]:
        """The runs that hold or wait for a slot of the crawl's pool."""
        with instance_of(self.home) as instance:
            info = instance.event_log_storage.get_concurrency_info("crawl")
        return [each.run_id for each in (*info.claimed_slots, *info.pending_steps)]

    def requests(self) -> int:
        """Requests of the last run, as the page shows them; a folder's count is of files."""
        with instance_of(self.home) as instance:
            (last,) = instance.get_runs(limit=1)
            events = History(instance).latest("photo_shards").items()
            made = [event for place, event in events if event.run_id == last.run_id and place.bucket != FOLDER]
        return sum(event.metadata["requests"].value for event in made)


@pytest.fixture
def slow_crawl(write_profile: Callable[..., Path], tmp_path: Path) -> Iterator[SlowCrawl]:
    with closing(PhotoServer()) as server:
        changes: dict[str, object] = {"world": None, "crawl__allow_origins": [server.origin]}
        for number, name in enumerate(("world_train", "world_validation", "world_1k")):
            numbers = range(number * PHOTOS_OF_A_SET, (number + 1) * PHOTOS_OF_A_SET)
            rows = [f"{each},{server.url(f'/photos/{each}.jpg')}\n" for each in numbers]
            (tmp_path / f"{name}.csv").write_text("".join(rows), encoding="utf-8")
            changes[f"photo_sets__{name}__url_csv"] = str(tmp_path / f"{name}.csv")
        yield SlowCrawl(server, tmp_path / "home", write_profile(crawl__per_host=IN_FLIGHT, **changes))


def check_that_the_next_one_completes(crawl: SlowCrawl, asked: list[str]) -> subprocess.CompletedProcess[str]:
    """The next command asks for the photos that are not there and no others, and leaves nothing behind."""
    again = geo_pipeline(crawl.home, *crawl.command())
    assert again.returncode == 0, again.stderr
    asked_again = crawl.photos_asked()[len(asked) :]
    assert len(set(asked_again) & set(asked)) <= IN_FLIGHT
    assert set(asked_again) | set(asked) == {f"/photos/{number}.jpg" for number in range(3 * PHOTOS_OF_A_SET)}
    assert crawl.requests() == len(asked_again)
    assert run_statuses(crawl.home) == [SUCCESS, FAILURE]
    assert crawl.pool() == []
    return again


@pytest.mark.slow
def test_after_kill_9_the_crawl_ends_and_the_next_command_closes_the_books_and_goes_on(slow_crawl: SlowCrawl) -> None:
    code, _, asked = slow_crawl.stop_in_the_middle(subprocess.Popen.kill)
    assert code == -signal.SIGKILL
    assert run_statuses(slow_crawl.home) == [dg.DagsterRunStatus.STARTED]
    (killed_run,) = set(slow_crawl.pool())
    again = check_that_the_next_one_completes(slow_crawl, asked)
    assert "an earlier materialize was killed: process " in again.stderr
    assert f"run {killed_run[:8]} was marked as failed and its pool slots were freed" in again.stderr
    fresh = geo_pipeline(slow_crawl.home, *slow_crawl.command())
    assert "killed" not in fresh.stderr


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """What a terminal does: every process of the foreground group is interrupted."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt_the_command_alone(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [press_ctrl_c, interrupt_the_command_alone])
def test_an_interrupted_crawl_is_exit_code_130_and_the_next_command_goes_on(
    slow_crawl: SlowCrawl, stop: Callable[[subprocess.Popen[str]], None]
) -> None:
    code, output, asked = slow_crawl.stop_in_the_middle(stop)
    assert code == 130
    assert "interrupted; run it again to go on" in output
    assert "mend the cause" not in output
    assert run_statuses(slow_crawl.home) == [FAILURE]
    assert slow_crawl.pool() == []
    again = check_that_the_next_one_completes(slow_crawl, asked)
    assert "killed" not in again.stderr


@pytest.mark.slow
def test_a_killed_step_is_exit_code_1_with_the_command_to_try_again(slow_crawl: SlowCrawl) -> None:
    def kill_the_step(_: subprocess.Popen[str]) -> None:
        with instance_of(slow_crawl.home) as instance:
            (run,) = instance.get_runs()
            events = instance.all_logs(run.run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
        (event,) = [entry.get_dagster_event() for entry in events]
        os.kill(int(event.engine_event_data.metadata["pid"].value), signal.SIGKILL)

    code, output, asked = slow_crawl.stop_in_the_middle(kill_the_step)
    assert code == 1
    assert "bucket_crawl FAILED: " in output
    assert """mend the cause, then: geo-pipeline --profile small materialize --stale 'key:"photo_shards"+'""" in output
    assert "Traceback" not in output
    check_that_the_next_one_completes(slow_crawl, asked)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [subprocess.Popen.kill, press_ctrl_c])
def test_a_training_whose_command_is_killed_or_interrupted_saves_ends_and_is_continued(
    stop: Callable[[subprocess.Popen[str]], None], write_profile: Callable[..., Path], tmp_path: Path
) -> None:
    home, num_epochs, is_killed = tmp_path / "home", 40, stop is subprocess.Popen.kill
    training = yaml.safe_load((PROJECT_FOLDER / "resources" / "training" / "ci.yml").read_text("utf-8"))
    training["trainer_params"]["max_epochs"] = num_epochs
    (tmp_path / "training.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    profile = str(write_profile(training=str(tmp_path / "training.yml")))
    run_dir = Layout(home / "small").run("base")
    command = ["--profile", profile, "materialize", "--stale", 'not key:"benchmark_predictions"+']
    with started(home, *command) as process:
        wait_until(lambda: len(epochs(run_dir)) >= 3, 150)
        assert "--job" in processes_naming(home)
        stop(process)
        process.communicate(timeout=20)
        wait_until(lambda: group_is_gone(process), 20)
    assert process.returncode == (-signal.SIGKILL if is_killed else 130)
    assert processes_naming(home) == ""
    lines, saved = (run_dir / "metrics.jsonl").read_text("utf-8"), epochs(run_dir)
    assert saved == list(range(len(saved)))
    assert 3 <= len(saved) < num_epochs
    assert (run_dir / "last.ckpt").stat().st_mtime >= (run_dir / "metrics.jsonl").stat().st_mtime
    assert steps_in_pool(home, "gpu") == (["geo_model"] if is_killed else [])
    again = geo_pipeline(home, *command)
    assert again.returncode == 0, again.stderr
    assert ("an earlier materialize was killed: process " in again.stderr) == is_killed
    assert epochs(run_dir) == list(range(num_epochs))
    assert (run_dir / "metrics.jsonl").read_text("utf-8").startswith(lines)
    assert run_statuses(home) == [SUCCESS, FAILURE, SUCCESS]
    assert steps_in_pool(home, "gpu") == []


def steps_in_pool(home: Path, pool: str) -> list[str]:
    """The steps that hold a slot of a pool."""
    with instance_of(home) as instance:
        return [slot.step_key for slot in instance.event_log_storage.get_concurrency_info(pool).claimed_slots]


def epochs(run_dir: Path) -> list[int]:
    """The finished epochs of a training."""
    metrics = run_dir / "metrics.jsonl"
    lines = metrics.read_text("utf-8").splitlines(keepends=True) if metrics.exists() else []
    return [json.loads(line)["epoch"] for line in lines if line.endswith("\n")]


def processes_naming(home: Path) -> str:
    """The command lines of the running processes in which a data folder stands; the photo server has its own life."""
    command = [str(shutil.which("ps")), "-eww", "-o", "args"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(line for line in lines if str(home) in line and "geo_pipeline.world" not in line)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as opened:
        yield opened


def test_the_books_of_other_runs_are_left_alone(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    shown: list[str] = []
    ours = instance.add_run(unfinished("ours", {LAUNCHED_TAG: "1"}))
    page = instance.add_run(unfinished("page", {}))
    again = instance.add_run(unfinished("again", {LAUNCHED_TAG: "1"}, parent_run_id="ours", root_run_id="ours"))
    close_books(instance, Layout(tmp_path), shown.append)
    found = {run.run_id: run.status for run in instance.get_runs()}
    started_ = dg.DagsterRunStatus.STARTED
    assert found == {ours.run_id: FAILURE, page.run_id: started_, again.run_id: started_}
    shown.clear()
    close_books(instance, Layout(tmp_path), shown.append)
    assert shown == []


def test_a_step_that_does_not_end_is_waited_for_only_so_long(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geo_pipeline.defs.orphans.LAST_STEPS_SECONDS", 0.2)
    instance.add_run(unfinished("ours", {LAUNCHED_TAG: "1"}))
    shown: list[str] = []
    with shared(tmp_path / "steps.lock"):
        close_books(instance, Layout(tmp_path), shown.append)
    assert "a step is still running; going on without waiting any longer" in shown
    assert [run.status for run in instance.get_runs()] == [FAILURE]


def unfinished(run_id: str, tags: dict[str, str], **changes: str) -> dg.DagsterRun:
    return dg.DagsterRun("model", run_id, status=dg.DagsterRunStatus.STARTED, tags=tags, **changes)
