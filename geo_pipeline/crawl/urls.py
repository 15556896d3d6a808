"""URLs as text: what may be requested, where it is, and its size variant. No network here."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from urllib.parse import quote, urljoin, urlsplit

from yarl import URL

_NAME = re.compile(r"(?=.{1,254}$)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
_AS_WRITTEN = "%/:@!$&'()*+,;=~"  # RFC 3986, section 3.3: what a path may hold, and the sign of what is encoded already


class InvalidUrlError(ValueError):
    """Not an http(s) URL with a host."""


def parse_url(text: str) -> URL:
    """The URL in `text`, percent-encoded where it has to be and otherwise as written; without its fragment.

    Raises InvalidUrlError unless it is http or https with a host and a valid port.
    """
    text = text.strip()
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.port) and _is_host(url.raw_host or "")
        if usable:
            return _as_written(url, text)
    except (ValueError, TypeError) as error:
        raise InvalidUrlError(f"found {text!r}: {error}") from error
    raise InvalidUrlError(f"found {text!r}, expected http:// or https:// and a host")


def join_url(base: URL, reference: str) -> URL:
    """Where a reference found at `base` leads to. Raises InvalidUrlError as `parse_url`."""
    try:
        return parse_url(urljoin(str(base), reference))
    except ValueError as error:
        raise InvalidUrlError(str(error)) from error


def origin_of(url: URL) -> str:
    """What politeness is measured by: scheme, host and port (RFC 6454)."""
    return f"{url.scheme}://{url.host_subcomponent}:{url.port}"


def with_size_suffix(url: URL, suffix: str) -> URL:
    """The URL with `_suffix` before the extension of its last path segment; unchanged if either is empty."""
    if not suffix:
        return url
    folder, _, file = url.raw_path.rpartition("/")
    if not file:
        return url
    name = PurePosixPath(file)
    return _encoded(url, f"{folder}/{name.stem}_{suffix.removeprefix('_')}{name.suffix}", url.raw_query_string)


def matches_any(url: str, patterns: tuple[str, ...]) -> bool:
    """Whether a whole URL matches one of the shell patterns."""
    return any(fnmatchcase(url, pattern) for pattern in patterns)


def _is_host(host: str) -> bool:
    """Whether it can be an address or a name in the DNS."""
    return ":" in host or _NAME.fullmatch(host) is not None


def _as_written(url: URL, text: str) -> URL:
    """Path and query as they stand in `text`: some servers sign them, and would not know an equivalent spelling."""
    parts = urlsplit(text)
    if "/." in parts.path:
        return url.with_fragment(None)  # "." and ".." are resolved
    path, query = (
        quote(part, safe=_AS_WRITTEN + extra, errors="surrogateescape")
        for part, extra in ((parts.path, ""), (parts.query, "?"))
    )
    return _encoded(url, path, query)


def _encoded(url: URL, path: str, query: str) -> URL:
    """The URL with another path and query, both encoded already."""
    return URL(f"{url.scheme}://{url.raw_authority}{path or '/'}{'?' if query else ''}{query}", encoded=True)
