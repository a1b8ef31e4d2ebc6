"""Names of copied files: each its own, and the same whatever is copied this time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsdat.catalog.copy_items import multihash
from rsdat.catalog.copy_plan import data_keys, file_names, folder_name, is_within, outward, place

NAMES = st.sampled_from(["a.tif", "A.tif", "b.tif", "", ".hidden", "x?y.tif", "é 1.tif", "i.json"])
KEYS = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=6)


@given(st.dictionaries(KEYS, st.tuples(st.sampled_from(["x", "y"]), NAMES), max_size=6))
@settings(max_examples=60)
def test_every_file_has_a_name_of_its_own(found: dict[str, tuple[str, str]]) -> None:
    hrefs = {key: f"dcache://door/{folder}/{name}" for key, (folder, name) in found.items()}
    names = file_names(hrefs, ("i.json",))
    of = {href: {names[key] for key in hrefs if hrefs[key] == href} for href in hrefs.values()}
    assert all(len(some) == 1 for some in of.values())
    all_names = [next(iter(some)).lower() for some in of.values()]
    assert len(set(all_names)) == len(all_names)
    assert "i.json" not in all_names
    assert not any(set(name) & set("/\\?#%") or name.startswith(".") for name in all_names)
    assert names == file_names(dict(reversed(hrefs.items())), ("i.json",))


def test_names_are_those_of_the_source_where_they_can_be() -> None:
    hrefs = {"red": "https://a.org/x/B%2004.tif?v=1", "nir": "s3://b/x/B08.tif", "z": "/d/z.zarr/"}
    assert file_names(hrefs) == {"red": "B 04.tif", "nir": "B08.tif", "z": "z.zarr"}
    assert file_names({"a": "/x/d.tif", "b": "/y/d.tif"}) == {"a": "d_a.tif", "b": "d_b.tif"}


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "", "x" * 300, "a\nb", "50%"])
def test_ids_that_are_no_names_become_some(name: str) -> None:
    found = folder_name(name)
    assert "/" not in found
    assert not found.startswith(".")
    assert len(found.encode()) <= 200
    assert found != folder_name(name + "x")


def test_ids_that_are_names_stay() -> None:
    assert folder_name("S2A_31UFU_2024é (1)") == "S2A_31UFU_2024é (1)"


def test_data_is_what_no_role_calls_otherwise() -> None:
    roles = {
        "red": ["data", "reflectance"],
        "qa_pixel": ["cloud", "cloud-shadow"],
        "bare": None,
        "visual": ["visual"],
        "thumbnail": ["thumbnail"],
        "mtl": ["metadata"],
    }
    assets = {key: {"roles": some} if some else {} for key, some in roles.items()}
    assert data_keys(assets) == ["red", "qa_pixel", "bare", "visual"]


def test_one_place_has_several_spellings() -> None:
    assert place("dcache://Door.org/d/a b") == place("https://door.org:2880/d/a%20b")
    assert place("davs://door.org/d/") == place("https://door.org/d")
    assert is_within("davs://door.org/d/x", "https://door.org/d")
    assert not is_within("s3://bucket/data2/x", "s3://bucket/data")


@pytest.mark.parametrize(
    ("href", "own", "expected"),
    [
        ("https://a.org/x?sig=S&se=1", "/c.json", "https://a.org/x"),
        ("https://a.org/x?X-Amz-Signature=S", "/c.json", "https://a.org/x"),
        ("https://u:p@a.org/x?v=1", "/c.json", "https://a.org/x?v=1"),
        ("/d/a b.tif", "/c.json", "/d/a b.tif"),
        ("/d/a b.tif", "dcache://door/c.json", "file:///d/a%20b.tif"),
        ("s3://b/x?sig=1", "/c.json", "s3://b/x?sig=1"),
    ],
)
def test_how_a_catalog_names_what_lies_elsewhere(href: str, own: str, expected: str) -> None:
    assert outward(href, own) == expected


def test_checksums_as_multihashes() -> None:
    assert multihash("sha256:" + "ab" * 32) == "1220" + "ab" * 32
    assert multihash("md5:" + "cd" * 16) == "d50110" + "cd" * 16
    assert multihash("adler32:0a1b2c3d") is None
