"""Which addresses a pattern of ``credentials`` means, and how closely."""

from __future__ import annotations

import pytest

from rsdat.config.addresses import parse_pattern


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("door.example.org", "https://door.example.org/x"),
        ("door.example.org", "dcache://DOOR.example.org:2880/x"),
        ("*.example.org", "https://a.b.example.org:8443/"),
        ("door.example.org:2880", "dcache://door.example.org/x"),
        ("door.example.org:443", "https://door.example.org/x"),
        ("https://door.example.org", "dcache://door.example.org/x"),
        ("http://door.example.org", "http://door.example.org/x"),
        ("door.example.org/data", "https://door.example.org/data/a/b"),
        ("door.example.org/my data", "https://door.example.org/my%20data/x"),
        ("s3://scenes", "s3://scenes/x.tif"),
        ("s3://*", "s3a://any/x.tif"),
        ("[::1]:80", "http://[::1]/x"),
    ],
)
def test_meant(pattern: str, url: str) -> None:
    if " " in pattern:
        pattern = pattern.replace(" ", "%20")
    assert parse_pattern(pattern).matches(url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("example.org", "https://door.example.org/"),
        ("*.example.org", "https://example.org/"),
        ("*.example.org", "https://door.example.org.evil.net/"),
        ("door.example.org", "https://door.example.org@evil.net/"),
        ("door.example.org", "https://evil.net\\@door.example.org/"),
        ("door.example.org", "https://door.example.org\t.evil.net/"),
        ("door.example.org:2880", "https://door.example.org/"),
        ("https://door.example.org", "http://door.example.org/"),
        ("https://door.example.org", "s3://door.example.org/"),
        ("door.example.org/data", "https://door.example.org/database"),
        ("s3://scenes", "s3://scenes-of-others/x"),
        ("door.example.org", "/door.example.org/x"),
        ("door.example.org", "https://door.example.org:port/"),
    ],
)
def test_not_meant(pattern: str, url: str) -> None:
    assert not parse_pattern(pattern).matches(url)


@pytest.mark.parametrize("text", ["*", "*.org", "https://*", "d?", "*:2880", "**.nl"])
def test_a_pattern_for_every_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="every host"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["", "a b", "https://", "user@host", "host:port", "h/p q"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="expected a host"):
        parse_pattern(text)


def test_the_closest_pattern_ranks_first() -> None:
    texts = [
        "*.example.org",
        "*.data.example.org",
        "door.data.example.org",
        "https://door.data.example.org",
        "door.data.example.org/a",
        "door.data.example.org/a/b",
        "door.data.example.org:2880",
    ]
    patterns = [parse_pattern(text) for text in reversed(texts)]
    assert [p.text for p in sorted(patterns, key=lambda p: p.rank)] == texts
