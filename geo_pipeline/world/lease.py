"""The client's side of the photo server: use a running one, or start one, for as long as it is needed.

Here lives `world_server`; standard library only, no event loop, cheap to import. The one idea: a lease is an open
connection, so the kernel gives it back whatever happens to its holder, and the server ends with its last lease.
Whoever finds nobody on the port starts a server; of two that do so at once one gets the port, and both wait for it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from geo_pipeline.errors import InputError
from geo_pipeline.world.fingerprint import world_fingerprint
from geo_pipeline.world.process import HOST, PORT_TAKEN
from geo_pipeline.world.settings import WorldSettings

_PAUSE_SECONDS = 0.1
_MAX_LINE_BYTES = 4096


@contextlib.contextmanager
def world_server(
    settings: WorldSettings, *, log_file: Path, grace_seconds: float = 10.0, wait_seconds: float = 60.0
) -> Iterator[str]:
    """A photo server of these lists, for as long as the block runs; gives its origin, `127.0.0.1:<port>`.

    A running server of the same world is used; else one is started, which appends its output to `log_file`, belongs
    to nobody and ends `grace_seconds` after its last user. Raises InputError if the lists were made for another port,
    if something else has the port, if `wait_seconds` pass without an answer, or if the server cannot start; also what
    `world_fingerprint` raises.
    """
    _check_port(settings)
    lease = _take_lease(settings, log_file, grace_seconds, wait_seconds)
    try:
        yield f"{HOST}:{settings.port}"
    finally:
        lease.release()


@dataclass(frozen=True)
class _Lease:
    """An open connection to a photo server of the world `fingerprint`."""

    connection: http.client.HTTPConnection
    held: socket.socket
    fingerprint: str

    def release(self) -> None:
        """Tell the server that it is not needed, which must work even where a forked child inherited the socket."""
        with contextlib.suppress(OSError):  # the server may have ended before us
            self.held.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.held.close()


def _check_port(settings: WorldSettings) -> None:
    """Raise InputError if the first URL of some list carries another port than the settings."""
    for path in sorted(settings.lists.glob("*_urls.csv")):
        with path.open(encoding="utf-8") as stream:
            url = stream.readline().strip().rpartition(",")[2]
        found = urlsplit(url).netloc
        if found != f"{HOST}:{settings.port}":
            raise InputError(
                f"{path}: its URLs point to {found!r}, `world.port` expects {HOST}:{settings.port}; set `world.port` "
                f"to the port of the lists, or make lists for {settings.port}: {_make_lists(settings.port)}"
            )


def _take_lease(settings: WorldSettings, log_file: Path, grace_seconds: float, wait_seconds: float) -> _Lease:
    """Ask for a lease, starting a server where none is, until there is one or the time is over."""
    expected = world_fingerprint(settings.lists)
    deadline = time.monotonic() + wait_seconds
    while (lease := _ask(settings.port, max(deadline - time.monotonic(), _PAUSE_SECONDS))) is None:
        if time.monotonic() > deadline:
            raise _busy(settings.port, f"nothing that answers within {wait_seconds:g} seconds (log: {log_file})")
        _start(settings, log_file, grace_seconds)
        time.sleep(_PAUSE_SECONDS)
    if lease.fingerprint != expected:
        lease.release()
        raise _busy(settings.port, f"a photo server of another world ({lease.fingerprint}; {expected} is expected)")
    return lease


def _ask(port: int, timeout_seconds: float) -> _Lease | None:
    """Ask for a lease; None if nobody listens or who does is just ending.

    Raises InputError if what listens is not a photo server.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_seconds)
    try:
        return _lease_from(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, ConnectionError):
            return None
        if isinstance(error, TimeoutError):
            raise _busy(port, f"something that gave no answer within {timeout_seconds:.0f} seconds") from error
        if isinstance(error, http.client.HTTPException | ValueError | TypeError | KeyError):
            raise _busy(port, f"something that is not a photo server ({error!r})") from error
        raise


def _lease_from(connection: http.client.HTTPConnection) -> _Lease:
    """The lease that the server at the other end gives. Raises what went wrong, as it is."""
    connection.connect()
    held: socket.socket = connection.sock
    with contextlib.ExitStack() as on_error:
        on_error.callback(held.close)  # a response without keep-alive takes the socket from its connection
        connection.request("GET", "/lease")
        response = on_error.enter_context(connection.getresponse())
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise ConnectionResetError("the server is ending")
        if response.status != HTTPStatus.OK:
            raise http.client.HTTPException(f"HTTP {response.status} from {response.getheader('Server')}")
        lease = _Lease(connection, held, json.loads(response.readline(_MAX_LINE_BYTES))["fingerprint"])
        on_error.pop_all()
    return lease


def _start(settings: WorldSettings, log_file: Path, grace_seconds: float) -> None:
    """Start a server and wait until it serves; does nothing if another process has taken the port by then.

    The server inherits the log file and nothing else of ours: no pipe, no session, no parent.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    options = ["--port", str(settings.port), "--lists", str(settings.lists.resolve())]
    command = [sys.executable, "-m", "geo_pipeline.world", "serve", "--detach", *options]
    with log_file.open("ab") as log:
        start = subprocess.run(
            [*command, "--grace-seconds", str(grace_seconds)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
    if start.returncode not in (0, PORT_TAKEN):
        last_line = log_file.read_text(errors="replace").rstrip().rpartition("\n")[2]
        raise InputError(f"the photo server did not start: {last_line} (log: {log_file})")


def _busy(port: int, found: str) -> InputError:
    """The error for a port that somebody else has."""
    return InputError(
        f"port {port} on {HOST}: the photo server of this world is expected there, found {found}; stop that program "
        f"(a photo server ends by itself soon after its last user), or make lists for another port with "
        f"`{_make_lists('N')}` and set `world.port` and `world.lists`"
    )


def _make_lists(port: int | str) -> str:
    """The command that makes lists for a port."""
    return f"python -m geo_pipeline.world make-lists --port {port} --output DIR"
