"""URLs as text: what may be requested, where it is, and its size variant. No network here."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from yarl import URL


class InvalidUrlError(ValueError):
    """Not an http(s) URL with a host."""


def parse_url(text: str) -> URL:
    """The URL in `text`. Raises InvalidUrlError unless it is http or https with a host and a valid port."""
    try:
        url = URL(text.strip())
        usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except (ValueError, TypeError) as error:
        raise InvalidUrlError(f"found {text!r}: {error}") from error
    if not usable:
        raise InvalidUrlError(f"found {text!r}, expected http:// or https:// and a host")
    return url.with_fragment(None) if url.raw_fragment else url


def origin_of(url: URL) -> str:
    """What politeness is measured by: scheme, host and port (RFC 6454)."""
    return f"{url.scheme}://{url.host_subcomponent}:{url.port}"


def with_size_suffix(url: URL, suffix: str) -> URL:
    """The URL with `_suffix` before the extension of its last path segment; unchanged if the suffix is empty."""
    if not suffix:
        return url
    name = PurePosixPath(url.name)
    return url.with_name(f"{name.stem}_{suffix.removeprefix('_')}{name.suffix}").with_query(url.query)


def matches_any(url: str, patterns: tuple[str, ...]) -> bool:
    """Whether a whole URL matches one of the shell patterns."""
    return any(fnmatchcase(url, pattern) for pattern in patterns)
