"""The origins of many URLs at once: whom a crawl would ask.

Not here: what may be requested and how politely (crawl room). The one idea: the same answer as the crawl's
`origin_of`, by one regular expression over a column, because a list has millions of URLs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

_PARTS = (
    r"^\s*(?P<scheme>[hH][tT][tT][pP][sS]?)://(?:[^/?#@\s]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#:@\s\[\]]+)(?::(?P<port>\d+))?(?:[/?#].*)?\s*$"
)


def origins_of(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """`scheme://host:port` of each URL in lower case, null where it is no http(s) URL with a host."""
    parts = pc.extract_regex(urls, _PARTS)
    scheme = pc.utf8_lower(pc.struct_field(parts, "scheme"))
    host = pc.utf8_lower(pc.struct_field(parts, "host"))
    port = pc.struct_field(parts, "port")
    usual = pc.if_else(pc.equal(scheme, "https"), "443", "80")
    port = pc.if_else(pc.equal(port, ""), usual, port)
    return pc.binary_join_element_wise(pc.binary_join_element_wise(scheme, host, "://"), port, ":")


def count_origins(urls: pa.ChunkedArray) -> dict[str, int]:
    """The number of URLs of each origin, the most frequent first; URLs without one are not counted."""
    counts = pc.value_counts(pc.drop_null(origins_of(urls))).to_pylist()
    pairs = {each["values"]: each["counts"] for each in counts}
    return dict(sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0])))


def not_public(origins: Mapping[str, int]) -> list[str]:
    """Those of some origins, as host:port, that name this machine or a private address: a crawl refuses them."""
    places = [origin.partition("://")[2] for origin in origins]
    return [place for place in places if _is_private(place.rpartition(":")[0].strip("[]"))]


def _is_private(host: str) -> bool:
    """Whether a host is written as an address that is not public; a name is looked up only when it is crawled."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
