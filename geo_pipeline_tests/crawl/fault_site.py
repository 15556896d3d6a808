"""A web of many origins where much goes wrong, in a process of its own, and the outcome that each fault must have.

`python -m geo_pipeline_tests.crawl.fault_site 120` opens so many ports, prints them as JSON, and when its input ends
prints what it saw. The path of a photo names what happens to it: `/<fault>/<number>.jpg`. Here live the faults and the
server; the list that a crawl gets, and the judgement, are in test_fault_list.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import math
import random
import resource
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

RETRIES = 3
NUM_PICTURES = 16
RESET, HANG_UP, ENDLESS = object(), object(), object()
"""Steps of an answer besides bytes to send and seconds to wait; without one of these the connection is kept."""


@cache
def base_picture(
    number: int, size: tuple[int, int] = (640, 480), picture_format: str = "JPEG", **options: Any
) -> bytes:
    """One of a few photos of a usual size, about 100 KB each."""
    coarse = np.random.default_rng(number).integers(0, 255, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)
    pixels = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(number + 1000).integers(-14, 15, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(np.asarray(pixels, dtype=np.int64) + grain, 0, 255).astype(np.uint8))
    return encoded(image, picture_format, **options)


def encoded(image: Image.Image, picture_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


def photo(number: int) -> bytes:
    """A photo's own bytes: one of the base pictures with a comment that no other has."""
    comment = b"photo %d" % number
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + base_picture(number % NUM_PICTURES)[2:]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; `_` in a header's name stands for `-`."""
    fields = {"Content-Type": "image/jpeg", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@dataclass(frozen=True)
class Asked:
    """A request: for which photo, how often it was asked for before, and how many requests its origin had before."""

    number: int
    times: int
    of_origin: int
    canary: int


@dataclass(frozen=True)
class Fault:
    """What happens, and the outcome it must have after so many tries.

    `strains` says that its tries look to a breaker like a failing host. `others` are outcomes that are right as well
    where an origin knows nothing but this fault, and `tries` is None where they depend on the others' timing.
    """

    expected: str
    steps: Callable[[Asked], Iterable[object]] = lambda _: ()
    tries: int | None = 1
    strains: bool = False
    others: tuple[str, ...] = ()


def always(*steps: object) -> Callable[[Asked], Iterable[object]]:
    return lambda _: steps


def at_first(times: int, *steps: object) -> Callable[[Asked], Iterable[object]]:
    """So often these steps, then the photo."""
    return lambda asked: steps if asked.times < times else (answer(photo(asked.number)),)


def served(change: Callable[[bytes], bytes] = bytes, **headers: str) -> Callable[[Asked], Iterable[object]]:
    """The photo with changed bytes and other headers."""
    return lambda asked: (answer(change(photo(asked.number)), **headers),)


def redirect(location: str, status: str = "302 Found") -> Callable[[Asked], Iterable[object]]:
    """To a place that may name the canary's port and the photo."""
    return lambda asked: (
        answer(status=status, Location=location.format(canary=asked.canary, number=asked.number, times=asked.times)),
    )


def chunked(body: bytes) -> bytes:
    return b"".join(
        b"%x\r\n%s\r\n" % (len(body[at : at + 9000]), body[at : at + 9000]) for at in range(0, len(body), 9000)
    )


def trickle(content: bytes, pause: float, size: int = 1) -> tuple[object, ...]:
    return tuple(step for at in range(0, len(content), size) for step in (content[at : at + size], pause))


def with_size(body: bytes, side: int) -> bytes:
    """A JPEG or PNG that claims to be a square of another size."""
    if body.startswith(b"\xff\xd8"):
        at = body.index(b"\xff\xc0") + 5
        return body[:at] + struct.pack(">HH", side, side) + body[at + 4 :]
    header = b"IHDR" + struct.pack(">II", side, side) + body[24:29]
    return body[:12] + header + struct.pack(">I", zlib.crc32(header)) + body[33:]


def picture_of(mode: str, picture_format: str, **options: Any) -> bytes:
    """A picture of a mode, or (mode `I;16`) of 16 bits."""
    image = Image.open(io.BytesIO(base_picture(3, (160, 120))))
    if mode == "I;16":
        return encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8), picture_format)
    return encoded(image.convert(mode), picture_format, **options)


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return base_picture(4, (160, 120), exif=exif.tobytes())


SMALL = base_picture(0, (160, 120))
PLACEHOLDER = base_picture(77, (160, 120))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
WHOLE = b"Content-Length: %d\r\n\r\n%s" % (len(SMALL), SMALL)
ONE_DAY = 86_400
NOISE = random.Random(2).randbytes(400)  # noqa: S311 noise


def _throttled_briefly(asked: Asked) -> Iterable[object]:
    """Every seventh answer asks for a second of silence."""
    if asked.of_origin % 7 == 3:
        return (answer(status="429 Too Many Requests", Retry_After="1"),)
    return (answer(photo(asked.number)),)


def _throttled_until_a_date(asked: Asked) -> Iterable[object]:
    if asked.of_origin % 7 == 3:
        until = math.ceil(time.time() + 1)
        return (answer(status="503 Service Unavailable", Retry_After=formatdate(until, usegmt=True)),)
    return (answer(photo(asked.number)),)


def _throttled_without_a_wait(asked: Asked) -> Iterable[object]:
    return at_first(1, answer(status="429 Too Many Requests", Retry_After="0"))(asked)


def _down_for_a_day(_: Asked) -> Iterable[object]:
    return (answer(status="503 Service Unavailable", Retry_After=formatdate(time.time() + ONE_DAY, usegmt=True)),)


TRIED = RETRIES + 1

OF_PHOTOS: dict[str, Fault] = {
    # what is no fault in the end
    "wrong_type": Fault("ok", served(Content_Type="text/html")),
    "no_type": Fault("ok", served(Content_Type="")),
    "gzip": Fault("ok", served(gzip.compress, Content_Encoding="gzip")),
    "deflate": Fault("ok", served(zlib.compress, Content_Encoding="deflate")),
    "chunked": Fault(
        "ok", lambda asked: (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunked(photo(asked.number)), b"0\r\n\r\n")
    ),
    "http_1.0": Fault("ok", lambda asked: (b"HTTP/1.0 200 OK\r\n\r\n" + photo(asked.number), HANG_UP)),
    "keeps_no_promise": Fault("ok", lambda asked: (answer(photo(asked.number)), HANG_UP)),
    "drops_kept_connections": Fault("ok", lambda asked: (answer(photo(asked.number)), 0.5, RESET)),
    "junk_after_the_end": Fault("ok", served(lambda body: body + NOISE)),
    "same_bytes": Fault("ok", always(answer(SMALL))),
    "cmyk": Fault("ok", always(answer(picture_of("CMYK", "JPEG")))),
    "sixteen_bits": Fault("ok", always(answer(picture_of("I;16", "PNG")))),
    "gray": Fault("ok", always(answer(picture_of("L", "JPEG")))),
    "palette": Fault("ok", always(answer(picture_of("P", "PNG")))),
    "alpha": Fault("ok", always(answer(picture_of("RGBA", "PNG")))),
    "gif": Fault(
        "ok", always(answer(picture_of("P", "GIF", save_all=True, append_images=[Image.new("P", (160, 120))])))
    ),
    "webp": Fault("ok", always(answer(picture_of("RGB", "WEBP")))),
    "oriented": Fault("ok", always(answer(oriented()))),
    "profile": Fault(
        "ok",
        always(
            answer(
                base_picture(
                    5, (160, 120), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
                )
            )
        ),
    ),
    "noai_for_others": Fault("ok", served(X_Robots_Tag="otherbot: noai")),
    "rights_not_reserved": Fault("ok", served(tdm_reservation="0")),
    "redirect_301": Fault("ok", redirect("/good/{number}.jpg", "301 Moved Permanently")),
    "redirect_302": Fault("ok", redirect("../good/{number}.jpg", "302 Found")),
    "redirect_303": Fault("ok", redirect("/good/{number}.jpg", "303 See Other")),
    "redirect_307": Fault("ok", redirect("/good/{number}.jpg", "307 Temporary Redirect")),
    "redirect_308": Fault("ok", redirect("/good/{number}.jpg", "308 Permanent Redirect")),
    "chain": Fault("ok", redirect("/redirect_301/{number}.jpg")),
    "broken_once": Fault("ok", at_first(1, answer(status="500 Internal Server Error")), tries=2),
    "broken_twice": Fault("ok", at_first(2, answer(status="502 Bad Gateway")), tries=3),
    "cut_once": Fault("ok", at_first(1, HEAD + b"Content-Length: 9999\r\n\r\n" + SMALL[:500], HANG_UP), tries=2),
    # what a server says
    "404": Fault("not_found", always(answer(b"no", "404 Not Found"))),
    "410": Fault("gone", always(answer(status="410 Gone"))),
    "401": Fault("forbidden", always(answer(status="401 Unauthorized", WWW_Authenticate="Basic"))),
    "403": Fault("forbidden", always(answer(b"no", "403 Forbidden"))),
    "204": Fault("empty", always(b"HTTP/1.1 204 No Content\r\n\r\n")),
    "empty": Fault("empty", always(answer())),
    "noai": Fault("opted_out", served(X_Robots_Tag="noai, noimageai")),
    "noindex_for_us": Fault("opted_out", served(X_Robots_Tag="otherbot: none, geo_pipeline: noimageindex")),
    "rights_reserved": Fault("opted_out", served(tdm_reservation="1")),
    "500": Fault("server_error", always(answer(status="500 Internal Server Error")), TRIED, strains=True),
    "503": Fault("server_error", always(answer(SMALL, "503 Service Unavailable")), TRIED, strains=True),
    # redirects and addresses
    "loop": Fault("redirect_error", redirect("/loop_back/{number}.jpg")),
    "loop_to_itself": Fault("redirect_error", redirect("")),
    "endless_chain": Fault("redirect_error", redirect("/endless_chain/{number}.jpg?{times}")),
    "no_location": Fault("redirect_error", always(answer(status="301 Moved Permanently"))),
    "to_a_file": Fault("redirect_error", redirect("file:///etc/passwd")),
    "to_ftp": Fault("redirect_error", redirect("ftp://127.0.0.1/1.jpg")),
    "to_the_canary": Fault("blocked_address", redirect("http://127.0.0.1:{canary}/1.jpg")),
    "to_a_name_of_the_canary": Fault("blocked_address", redirect("http://localhost:{canary}/1.jpg")),
    "to_the_canary_in_ipv6": Fault("blocked_address", redirect("http://[::1]:{canary}/1.jpg")),
    "to_the_canary_mapped": Fault("blocked_address", redirect("http://[::ffff:127.0.0.1]:{canary}/1.jpg")),
    "to_the_canary_in_decimal": Fault("blocked_address", redirect("http://2130706433:{canary}/1.jpg")),
    "to_the_canary_in_hex": Fault("blocked_address", redirect("http://0x7f000001:{canary}/1.jpg")),
    "to_the_metadata_service": Fault("blocked_address", redirect("http://169.254.169.254/latest/meta-data")),
    "to_the_local_network": Fault("blocked_address", redirect("http://192.168.1.1/")),
    "to_a_placeholder": Fault("placeholder", redirect("/images/photo_unavailable.gif")),
    # bodies
    "placeholder": Fault("placeholder", always(answer(PLACEHOLDER))),
    "html": Fault("not_an_image", always(answer(b"<!doctype html><p>Please log in" * 50))),
    "half": Fault("corrupt", served(lambda body: body[: len(body) // 2])),
    "noise": Fault("corrupt", served(lambda body: body[:-600] + NOISE + body[-200:])),
    "one_pixel": Fault("too_small", always(answer(encoded(Image.new("L", (1, 1)), "PNG")))),
    "strip": Fault("too_small", always(answer(encoded(Image.new("RGB", (5000, 10)), "JPEG")))),
    "jpeg_bomb": Fault("bomb", always(answer(with_size(SMALL, 20_000)))),
    "png_bomb": Fault("bomb", always(answer(with_size(picture_of("RGB", "PNG"), 60_000)))),
    "gzip_bomb": Fault("bomb", always(answer(gzip.compress(bytes(100_000_000)), Content_Encoding="gzip"))),
    "huge_announced": Fault("too_large", always(HEAD + b"Content-Length: 500000000\r\n\r\n", ENDLESS)),
    "endless": Fault("too_large", always(b"HTTP/1.0 200 OK\r\n\r\n", ENDLESS)),
    # connections and their pace
    "cut": Fault("truncated", always(HEAD + b"Content-Length: 99999\r\n\r\n" + SMALL, HANG_UP), TRIED),
    "reset_in_body": Fault("truncated", always(HEAD + b"Content-Length: 99999\r\n\r\n" + SMALL, 0.05, RESET), TRIED),
    "bad_chunk": Fault(
        "protocol_error", always(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.02, b"zz", HANG_UP), TRIED
    ),
    "bad_gzip": Fault("protocol_error", served(Content_Encoding="gzip"), TRIED),
    "not_http": Fault("protocol_error", always(b"SSH-2.0-OpenSSH_9.2\r\n", HANG_UP), TRIED),
    "200_kb_of_headers": Fault(
        "protocol_error", always(HEAD + b"X-Filler: %s\r\n" % (b"a" * 200) * 1000 + WHOLE, HANG_UP), TRIED
    ),
    "one_header_of_200_kb": Fault(
        "protocol_error", always(HEAD + b"X-Filler: %s\r\n" % (b"a" * 200_000) + WHOLE, HANG_UP), TRIED
    ),
    "slow_headers": Fault("too_slow", always(*trickle(HEAD, 1.0)), TRIED, strains=True),
    "slow_body": Fault(
        "too_slow", always(HEAD + b"Content-Length: 9999\r\n\r\n", *trickle(SMALL[:60], 1.0)), TRIED, strains=True
    ),
    "hangs_up": Fault("connection", always(HANG_UP), TRIED, strains=True),
    "reset": Fault("connection", always(RESET), TRIED, strains=True),
    "reset_in_headers": Fault("connection", always(HEAD, 0.02, RESET), TRIED, strains=True),
    "silence": Fault("timeout", always(60.0), TRIED, strains=True),
    "silence_in_headers": Fault("timeout", always(HEAD, 60.0), TRIED, strains=True),
    "silence_after_headers": Fault(
        "timeout", always(HEAD + b"Content-Length: 9999\r\n\r\n", 60.0), TRIED, strains=True
    ),
    "silence_in_body": Fault(
        "timeout", always(HEAD + b"Content-Length: 99999\r\n\r\n" + SMALL, 60.0), TRIED, strains=True
    ),
    "slow_but_not_too_slow": Fault(
        "timeout",
        always(HEAD + b"Content-Length: 1000000\r\n\r\n", *trickle(bytes(50_000), 0.2, 200)),
        TRIED,
        strains=True,
    ),
}
"""Faults of single photos: their origins are well."""

OF_URLS: dict[str, Fault] = {
    "ftp://127.0.0.1/{number}.jpg": Fault("invalid_url", tries=0),
    "http:///{number}.jpg": Fault("invalid_url", tries=0),
    "http://127.0.0.1:99999/{number}.jpg": Fault("invalid_url", tries=0),
    "not a url {number}": Fault("invalid_url", tries=0),
    "http://127.0.0.1:{canary}/{number}.jpg": Fault("blocked_address"),
    "http://photos.example@127.0.0.1:{canary}/{number}.jpg": Fault("blocked_address"),
    "http://10.0.0.1/{number}.jpg": Fault("blocked_address"),
    "https://127.0.0.1:{port}/good/{number}.jpg": Fault("connection", tries=None, others=("deferred",)),
    "http://127.0.0.1:{dead}/{number}.jpg": Fault("connection", tries=None, others=("deferred",)),
    "http://no-such-name.invalid/{number}.jpg": Fault("connection", tries=None, others=("deferred",)),
}
"""Faults that stand in the list; nobody may connect to port `{canary}`, and nobody listens on port `{dead}`."""

OF_ORIGINS: dict[str, Fault] = {
    "throttled_briefly": Fault("ok", _throttled_briefly, None),
    "throttled_until_a_date": Fault("ok", _throttled_until_a_date, None),
    "throttled_without_a_wait": Fault("ok", _throttled_without_a_wait, 2),
    "throttled_for_ever": Fault(
        "throttled", always(answer(status="429 Too Many Requests")), TRIED, others=("deferred",)
    ),
    "throttled_for_a_day": Fault("deferred", always(answer(status="429 Slow Down", Retry_After=str(ONE_DAY))), None),
    "down_for_a_day": Fault("deferred", _down_for_a_day, None),
    "always_broken": Fault("server_error", always(answer(status="500 Oops")), TRIED, others=("deferred",)),
    "always_resets": Fault("connection", always(RESET), TRIED, others=("deferred",)),
    "always_silent": Fault("timeout", always(60.0), TRIED, others=("deferred",)),
}
"""Faults that speak of a whole origin, which has no other photos. `others` is what a circuit breaker may make of it."""

_HELPERS = {
    "good": Fault("ok", lambda asked: (answer(photo(asked.number)),)),
    "loop_back": Fault("redirect_error", redirect("/loop/{number}.jpg")),
}
"""What is asked for besides: the good photos, and where redirects lead."""


class Site:
    """Many ports and what happened on them; times are those of the wall clock, in seconds."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, float, str]] = []
        self.holds: list[tuple[int, float, float]] = []
        self.num_canary = 0
        self._times: Counter[str] = Counter()
        self._of_origin: Counter[int] = Counter()

    async def open(self, num_origins: int) -> dict[str, Any]:
        """Listen; the ports, and the port on which nobody may be seen."""
        canary = await asyncio.start_server(self._sing, ["127.0.0.1"], 0)
        self._canary = canary.sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # where there is no IPv6, nobody can go astray there
            self._canary_v6 = await asyncio.start_server(self._sing, "::1", self._canary)
        self._servers = [await asyncio.start_server(self._serve, "127.0.0.1", 0) for _ in range(num_origins)]
        self._dead = socket.socket()
        self._dead.bind(("127.0.0.1", 0))  # taken, so that nobody else will listen there
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        return {"ports": ports, "canary": self._canary, "dead": self._dead.getsockname()[1]}

    async def _sing(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_canary += 1
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                if await reader.readexactly(1) == b"\x16":  # a TLS handshake
                    await self._do(answer(status="400 Bad Request"), port, writer)
                    break
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split()[1].decode()
                self.requests.append((port, time.time(), path))
                for step in self._steps(port, path):
                    await self._do(step, port, writer)
        writer.close()

    def _steps(self, port: int, path: str) -> Iterable[object]:
        path = path.partition("?")[0]
        _, name, *file = path.split("/")
        faults = {**OF_PHOTOS, **OF_ORIGINS, **_HELPERS}
        if name not in faults or not file:
            return (answer(status="404 Not Found"),)
        number = int(file[0].removesuffix(".jpg"))
        asked = Asked(number, self._times[path], self._of_origin[port], self._canary)
        self._times[path] += 1
        self._of_origin[port] += 1
        return faults[name].steps(asked)

    async def _do(self, step: object, port: int, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            self._remember_hold(step, port)
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif step is ENDLESS:
            while not writer.is_closing():
                writer.write(bytes(65_536))
                await writer.drain()
        elif step is RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.close()

    def _remember_hold(self, content: bytes, port: int) -> None:
        """Note until when an answer asks its origin's visitors to stay away."""
        _, found, rest = content[:400].partition(b"Retry-After: ")
        if not found:
            return
        value, now = rest.partition(b"\r\n")[0].decode(), time.time()
        until = now + int(value) if value.isdigit() else parsedate_to_datetime(value).timestamp()
        self.holds.append((port, now, until))


async def run(num_origins: int) -> None:
    """Serve until the input ends."""
    site = Site()
    print(json.dumps(await site.open(num_origins)), flush=True)  # noqa: T201 it is the answer to whoever started us
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"requests": site.requests, "holds": site.holds, "canary": site.num_canary}))  # noqa: T201 as above


if __name__ == "__main__":
    for number in range(NUM_PICTURES):
        base_picture(number)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(run(int(sys.argv[1])))
