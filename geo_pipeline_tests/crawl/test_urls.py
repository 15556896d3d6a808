"""URLs as text."""

from __future__ import annotations

import pytest

from geo_pipeline.crawl.urls import InvalidUrlError, join_url, matches_any, origin_of, parse_url, with_size_suffix


@pytest.mark.parametrize(
    "text",
    ["", "photo.jpg", "ftp://host/a.jpg", "file:///etc/passwd", "http://", "http://host:99999/", "data:,x", "//h/a"],
)
def test_what_is_no_http_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrlError, match="found"):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://Host/a", "http://host:80"),
        ("https://host/a", "https://host:443"),
        ("http://host:8080/a#part", "http://host:8080"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_an_origin_is_scheme_host_and_port(text: str, origin: str) -> None:
    assert origin_of(parse_url(text)) == origin


@pytest.mark.parametrize(
    ("url", "suffix", "expected"),
    [
        ("https://h/1/2_abc.jpg", "z", "https://h/1/2_abc_z.jpg"),
        ("https://h/1/2_abc.jpg", "_z", "https://h/1/2_abc_z.jpg"),
        ("https://h/1/2_abc.jpg", "", "https://h/1/2_abc.jpg"),
        ("https://h/a.b/name?x=1.jpg", "z", "https://h/a.b/name_z?x=1.jpg"),
        ("https://h/a%2fb%41.jpg?x=%2f", "z", "https://h/a%2fb%41_z.jpg?x=%2f"),
        ("https://h/folder/", "z", "https://h/folder/"),
    ],
)
def test_a_size_suffix_stands_before_the_extension(url: str, suffix: str, expected: str) -> None:
    assert str(with_size_suffix(parse_url(url), suffix)) == expected


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("x.jpg", "http://h/a/x.jpg"),
        ("../x%2f.jpg", "http://h/x%2f.jpg"),
        ("//other/x", "http://other/x"),
        ("?q", "http://h/a/b.jpg?q"),
        ("/caf\udce9.jpg", "http://h/caf%E9.jpg"),  # a header's byte E9, as aiohttp hands it on
    ],
)
def test_a_reference_leads_where_it_says_from_its_place(reference: str, target: str) -> None:
    assert str(join_url(parse_url("http://h/a/b.jpg"), reference)) == target


def test_patterns_match_whole_urls() -> None:
    assert matches_any("https://s/x/photo_unavailable.gif", ("*/photo_unavailable*",))
    assert not matches_any("https://s/x/photo.gif", ("*/photo_unavailable*", "photo"))
