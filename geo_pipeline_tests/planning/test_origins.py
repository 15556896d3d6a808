from __future__ import annotations

import pyarrow as pa
import pytest

from geo_pipeline.crawl.urls import InvalidUrlError, origin_of, parse_url
from geo_pipeline.planning.origins import count_origins, not_public, origins_of

URLS = [
    "http://h.example.org/a.jpg",
    "https://h.example.org/a.jpg",
    " HTTPS://H.Example.org:8443/a?b=http://other.org/ ",
    "http://user:word@h.example.org/a",
    "http://h.example.org",
    "http://h.example.org?x",
    "http://[2001:db8::1]:81/a",
    "http://127.0.0.1:8731/photos/1.jpg",
    "ftp://h.example.org/a",
    "/photos/a.jpg",
    "http:///a.jpg",
    "nonsense",
    "",
]


def of_the_crawl(url: str) -> str | None:
    try:
        return origin_of(parse_url(url)).replace("[", "").replace("]", "")
    except InvalidUrlError:
        return None


@pytest.mark.parametrize("url", URLS)
def test_an_origin_is_the_one_that_the_crawl_asks(url: str) -> None:
    (found,) = origins_of(pa.chunked_array([[url]])).to_pylist()
    assert (found and found.replace("[", "").replace("]", "")) == of_the_crawl(url)


def test_origins_are_counted_the_most_frequent_first() -> None:
    urls = ["http://b/1", "http://a/1", "http://b:80/2", "no", "https://b/3", "http://a/2", "http://b/4"]
    assert list(count_origins(pa.chunked_array([urls])).items()) == [
        ("http://b:80", 3),
        ("http://a:80", 2),
        ("https://b:443", 1),
    ]


def test_addresses_that_a_crawl_would_refuse_are_named() -> None:
    origins = [
        "http://127.0.0.1:8731",
        "http://localhost:80",
        "http://[::1]:80",
        "http://10.0.0.7:80",
        "https://h.org:443",
    ]
    assert not_public(dict.fromkeys(origins, 1)) == ["127.0.0.1:8731", "localhost:80", "[::1]:80", "10.0.0.7:80"]
