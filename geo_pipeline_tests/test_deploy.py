from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from geo_pipeline.defs.resources import TERMINATION_TIMEOUT_SECONDS
from geo_pipeline.profile import PROJECT_FOLDER
from geo_pipeline_tests.conftest import free_port

DEPLOY = PROJECT_FOLDER / "resources" / "deploy"
BIN = Path(sys.executable).parent
SERVICES = sorted(DEPLOY.glob("*.service"))
INSTALLED = "/opt/geo_pipeline"
SYSTEMD_ANALYZE = shutil.which("systemd-analyze") or ""
UNITS = [*SERVICES, DEPLOY / "geo-pipeline@.target"]


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a unit file, each with all its values."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8")))


def compose_command(service: str) -> list[str]:
    """The command of a compose service; of the code server, the one line of its shell script that starts it."""
    command = compose()["services"][service]["command"]
    if command[0] != "sh":
        return list(command)
    return shlex.split(next(line for line in command[-1].splitlines() if "code-server" in line))


def compose_commands() -> dict[str, list[str]]:
    services = compose()["services"]
    health = {f"health of {name}": each["healthcheck"]["test"][1:] for name, each in services.items()}
    return health | {name: compose_command(name) for name in services}


def unit_commands() -> dict[str, list[str]]:
    """Every command in the units, those inside a shell's loop as well."""
    found = {}
    for path in SERVICES:
        for name in ("ExecStartPre", "ExecStart", "ExecStartPost"):
            for text in unit(path)[name]:
                words = shlex.split(text)
                inner = re.search(r"until (.*?) >/dev/null", words[-1]) if words[0] == "/bin/sh" else None
                found[f"{path.name} {name}"] = shlex.split(inner[1]) if inner else words
    return found


COMMANDS = {**unit_commands(), **compose_commands()}


def value_of(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


@pytest.fixture(scope="session")
def help_of() -> Callable[[tuple[str, ...]], str]:
    known: dict[tuple[str, ...], str] = {}

    def text(program: tuple[str, ...]) -> str:
        if program not in known:
            run = subprocess.run(
                [str(BIN / program[0]), *program[1:], "--help"], capture_output=True, text=True, check=True
            )
            known[program] = run.stdout
        return known[program]

    return text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_program_and_option_exists(name: str, help_of: Callable[[tuple[str, ...]], str]) -> None:
    program, *words = COMMANDS[name]
    assert program.startswith(f"{INSTALLED}/.venv/bin/") or "/" not in program
    program = Path(program).name
    if program == "python":
        return
    options = [word for word in words if word.startswith("--")]
    subcommands = words[: words.index(options[0])] if options else words
    listed = help_of((program, *subcommands))
    assert [option for option in options if option not in listed] == []


def test_the_units_name_the_files_of_the_project() -> None:
    assert len(SERVICES) == 3
    for path in SERVICES:
        settings = unit(path)
        assert settings["WorkingDirectory"] == [INSTALLED]
        for word in shlex.split(settings["ExecStart"][0]):
            if word.startswith(INSTALLED) and ".venv" not in word:
                assert (PROJECT_FOLDER / word.removeprefix(f"{INSTALLED}/")).exists()
    started = unit(DEPLOY / "geo-pipeline@.target")["Wants"][0].replace("%i", "").split()
    assert sorted(started) == [path.name for path in SERVICES]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_every_variable_of_a_unit_has_a_value(path: Path) -> None:
    settings = unit(path)
    example = (DEPLOY / "profile.env.example").read_text("utf-8").splitlines()
    given = {line.partition("=")[0] for line in [*settings["Environment"], *example] if line[0] != "#"}
    used = set(re.findall(r"\$\{(\w+)\}", " ".join(settings["ExecStart"] + settings["ExecStartPost"])))
    in_workspace = {value["env"] for value in grpc_server().values() if isinstance(value, dict)}
    assert (used | in_workspace | {"DAGSTER_HOME", "GEO_PIPELINE_HOME", "GEO_PIPELINE_PROFILE"}) <= given


def grpc_server() -> dict[str, Any]:
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))
    return dict(workspace["load_from"][0]["grpc_server"])


def test_the_units_listen_on_the_loopback_address_alone() -> None:
    hosts = {name: value_of(words, "--host") for name, words in unit_commands().items() if "--host" in words}
    assert len(hosts) == 3  # code server, its health check, webserver
    assert set(hosts.values()) == {"127.0.0.1"}
    for path in SERVICES:
        assert "GEO_PIPELINE_CODE_HOST=127.0.0.1" in unit(path)["Environment"]


def test_compose_publishes_the_page_alone_and_on_the_loopback_address_alone() -> None:
    services = compose()["services"]
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert list(published) == ["webserver"]
    (port,) = published["webserver"]
    assert port.startswith("127.0.0.1:")
    assert port.endswith(f":{value_of(compose_command('webserver'), '--port')}")
    assert not any("network_mode" in each or "privileged" in each for each in services.values())


def test_the_ports_agree_between_the_files() -> None:
    example = (DEPLOY / "profile.env.example").read_text("utf-8")
    environment = compose()["x-environment"]
    assert f"GEO_PIPELINE_CODE_PORT={environment['GEO_PIPELINE_CODE_PORT']}\n" in example
    assert environment["GEO_PIPELINE_CODE_HOST"] in compose()["services"]
    commands = compose_commands()
    assert {value_of(commands[name], "--port") for name in ("code", "health of code")} == {"4000"}
    assert "GEO_PIPELINE_WEB_PORT=3000\n" in example
    assert f"127.0.0.1:{value_of(commands['webserver'], '--port')}/" in commands["health of webserver"][-1]


def test_code_location_has_one_name_so_that_history_survives_a_change_of_launcher() -> None:
    development = yaml.safe_load((PROJECT_FOLDER / "workspace.yaml").read_text("utf-8"))
    name = development["load_from"][0]["python_module"]["location_name"]
    started = [words for words in COMMANDS.values() if "code-server" in words]
    assert {grpc_server()["location_name"], *(value_of(words, "--location-name") for words in started)} == {name}


def test_a_stop_waits_longer_than_a_training_may_take_to_save() -> None:
    (code,) = unit(DEPLOY / "geo-pipeline-code@.service")["TimeoutStopSec"]
    service = compose()["services"]["code"]
    assert int(code) > 2 * TERMINATION_TIMEOUT_SECONDS
    assert int(service["stop_grace_period"].removesuffix("s")) > 2 * TERMINATION_TIMEOUT_SECONDS
    assert service["environment"]["TINI_KILL_PROCESS_GROUP"] == "1"
    assert service["init"] is True


def test_the_containers_shell_waits_for_a_training_but_not_for_itself() -> None:
    script = compose()["services"]["code"]["command"][-1]
    pattern = re.search(r"grep -qs '(.*?)'", script)
    assert pattern is not None
    assert re.search(pattern[1], "python\0-m\0geo_pipeline.training\0--job\0job.json")
    assert not re.search(pattern[1], script)


def test_no_credential_is_in_the_files() -> None:
    for path in DEPLOY.iterdir():
        assert not re.search(r"(?i)(password|passwd|secret|token|api_?key)\s*[:=]", path.read_text("utf-8")), path


def test_the_image_is_built_from_the_lock_and_does_not_run_as_root() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "--require-hashes" in dockerfile
    assert dockerfile.index("COPY requirements.lock") < dockerfile.index("COPY geo_pipeline ")
    users = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert users == ["geo_pipeline"]
    copied = {word for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]}
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    assert copied == allowed
    assert all((PROJECT_FOLDER / name).exists() for name in copied)


@pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="there is no systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = (
            path.read_text("utf-8").replace(f"{INSTALLED}/.venv/bin", str(BIN)).replace(INSTALLED, str(PROJECT_FOLDER))
        )
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    files = [str(tmp_path / path.name) for path in UNITS]
    run = subprocess.run([SYSTEMD_ANALYZE, "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def graphql(port: int, query: str, **variables: object) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"query": query, "variables": variables})
    connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
    answer = json.load(connection.getresponse())
    connection.close()
    assert "errors" not in answer, answer
    return dict(answer["data"])


LAUNCH = """mutation($job: ExecutionParams!) { launchRun(executionParams: $job) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
JOB = {
    "selector": {"repositoryLocationName": "geo_pipeline", "repositoryName": "__repository__", "jobName": "model"},
    "stepKeys": None,
    "runConfigData": {},
    "mode": "default",
}


@contextmanager
def running(name: str, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A service, started by the command of its unit; stopped as systemd does it, by SIGTERM to all its processes."""
    text = unit(DEPLOY / f"geo-pipeline-{name}@.service")["ExecStart"][0]
    text = text.replace(f"{INSTALLED}/.venv/bin", str(BIN)).replace(INSTALLED, str(PROJECT_FOLDER))
    command = [re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], word) for word in shlex.split(text)]
    process = subprocess.Popen(command, env=os.environ | variables, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Waits for a condition. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.5)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def status_of(port: int, run_id: str) -> str:
    query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    return str(graphql(port, query, id=run_id)["runOrError"]["status"])


@pytest.mark.slow
def test_a_run_survives_restarts_of_webserver_and_daemon(write_profile: Callable[..., Path], tmp_path: Path) -> None:
    code, web = free_port(), free_port()
    variables = {
        "GEO_PIPELINE_PROFILE": str(write_profile()),
        "GEO_PIPELINE_HOME": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "small" / "dagster"),
        "GEO_PIPELINE_CODE_HOST": "127.0.0.1",
        "GEO_PIPELINE_CODE_PORT": str(code),
        "GEO_PIPELINE_WEB_PORT": str(web),
    }
    subprocess.run([str(BIN / "geo-pipeline"), "install"], env=os.environ | variables, check=True)
    with running("code", variables):
        until(lambda: listening(code))
        with running("daemon", variables), running("webserver", variables):
            until(lambda: listening(web))
            selection = [{"path": ["photo_metadata"]}, {"path": ["cells_coarse"]}, {"path": ["cells_middle"]}]
            job = JOB | {"selector": JOB["selector"] | {"assetSelection": selection}}  # type: ignore[operator]
            launched = graphql(web, LAUNCH, job=job)["launchRun"]
            assert launched["__typename"] == "LaunchRunSuccess", launched
            run_id = launched["run"]["runId"]
            until(lambda: status_of(web, run_id) in {"STARTING", "STARTED"})
        with running("daemon", variables), running("webserver", variables):
            until(lambda: listening(web))
            until(lambda: status_of(web, run_id) not in {"STARTING", "STARTED"})
            assert status_of(web, run_id) == "SUCCESS"
    assert (tmp_path / "small" / "tables" / "cells_middle.parquet").exists()
