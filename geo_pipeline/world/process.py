"""The photo server as a process: taking the port, leaving the terminal. Standard library only.

Here lives what happens before the heavy imports: whoever binds the port first is the server, every other process
learns at once that it is not needed. What is served is `server`'s business; who starts it is `lease`'s.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

HOST = "127.0.0.1"
"""The only address that the world is served on."""

PORT_TAKEN = 3
"""Exit code of `serve` where another process has the port."""


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback address; clients that connect now wait until they are served.

    Raises OSError, with errno EADDRINUSE where the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        # Two sockets may both be bound with SO_REUSEADDR; only one of them can listen.
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def detach() -> Callable[[], None]:
    """Go on in a child process that belongs to nobody; gives the function by which it reports that it is ready.

    The caller's process ends with code 0 at that report, or with 1 if the child ends before. Must run before any
    thread or event loop is started.
    """
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(write_end)
        os._exit(0 if os.read(read_end, 1) else 1)
    os.close(read_end)
    os.setsid()

    def report_ready() -> None:
        os.write(write_end, b".")
        os.close(write_end)

    return report_ready
