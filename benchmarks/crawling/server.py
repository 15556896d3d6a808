"""The benchmark's photo server: as cheap as one process can be, so that what is measured is the client.

`served` starts it. As a process (`python -m crawling.server`) it makes distinct photos, prints its port and answers
`GET /<number>.jpg` with photo `number` modulo their count from memory, over connections that stay open where the
client wants it, until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
import uvloop
from crawling.photos import make_photos

_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Server:
    """A running server: its scheme, its host and port, and what a client's environment needs to trust it."""

    scheme: str
    origin: str
    environment: Mapping[str, str]

    def url(self, number: int) -> str:
        """Where a photo is."""
        return f"{self.scheme}://{self.origin}/{number}.jpg"


@contextmanager
def served(num_photos: int, folder: Path, environment: Mapping[str, str], *, is_secure: bool) -> Iterator[Server]:
    """A server of so many distinct photos, in a process of its own; `folder` takes the certificate."""
    arguments, trust = _certificate(folder) if is_secure else ([], {})
    process = subprocess.Popen(
        [sys.executable, "-m", "crawling.server", "--photos", str(num_photos), *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        port = process.stdout.readline().strip()
        yield Server("https" if is_secure else "http", f"127.0.0.1:{port}", trust)


def _certificate(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The server's arguments and the clients' environment for a new certificate.

    Clients trust it beside all the usual ones: reading those is part of what a connection may cost.
    """
    certificate, key, trusted = (folder / name for name in ("certificate.pem", "key.pem", "trusted.pem"))
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *kind, *name, *files], check=True, capture_output=True)  # noqa: S607
    trusted.write_bytes(Path(certifi.where()).read_bytes() + certificate.read_bytes())
    return ["--certificate", str(certificate), "--key", str(key)], {"SSL_CERT_FILE": str(trusted)}


class Connection(asyncio.Protocol):
    """A client's connection: reads requests without bodies, writes answers that are ready."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(self._answer(request))
            if b"connection: close" in request.lower():
                self._transport.close()

    def _answer(self, request: bytes) -> bytes:
        name, _, extension = request.split(b" ", 2)[1].removeprefix(b"/").partition(b".")
        return self._answers[int(name) % len(self._answers)] if extension == b"jpg" else _NOT_FOUND


async def serve(answers: Sequence[bytes], context: ssl.SSLContext | None) -> None:
    """Serve on a free port of 127.0.0.1 until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)  # without waiting for clients that hold connections open


def _with_head(photo: bytes, number: int) -> bytes:
    head = f'HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\nETag: "{number}"\r\n\r\n'
    return head.encode() + photo


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    answers = [_with_head(photo, number) for number, photo in enumerate(make_photos(options.photos))]
    uvloop.run(serve(answers, context))


if __name__ == "__main__":
    main()
