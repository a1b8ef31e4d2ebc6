import hashlib
from pathlib import Path

import pytest

from rsdat.environment import download
from rsdat.environment.lock import Locked
from rsdat.errors import EnvironmentMissing


def test_platforms_are_those_of_the_glibc_and_older() -> None:
    tags = download.platforms("x86_64", "2.17")
    assert tags[:3] == ["manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_16_x86_64"]
    assert tags[-3:] == ["manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64"]


def test_wheels_that_fit() -> None:
    fits = [
        "a-1-py3-none-any.whl",
        "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-cp39-abi3-manylinux_2_28_x86_64.whl",
        "a-1-py2.py3-none-any.whl",
    ]
    others = [
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_17_aarch64.whl",
        "a-1-cp311-cp311-macosx_11_0_arm64.whl",
        "nonsense.whl",
    ]
    tags = download.platforms("x86_64", "2.36")
    assert download.fitting(fits + others, "3.11", tags) == fits


def test_a_cached_wheel_counts_only_with_the_content_of_the_lock(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"whole").hexdigest()
    wanted = {"my-name": Locked("my-name", "1", None, frozenset({digest}))}
    name = "my_name-1-py3-none-any.whl"
    (tmp_path / name).write_bytes(b"cut")
    assert download.held(tmp_path, wanted, [name]) == {}
    (tmp_path / name).write_bytes(b"whole")
    assert download.held(tmp_path, wanted, [name]) == {"my-name": tmp_path / name}
    later = {"my-name": Locked("my-name", "2", None, frozenset({digest}))}
    assert download.held(tmp_path, later, [name]) == {}


def test_what_cannot_be_fetched_is_named(tmp_path: Path) -> None:
    wanted = {"rsdat-is-not-there": Locked("rsdat-is-not-there", "1", None, frozenset({"0" * 64}))}
    tags = download.platforms("x86_64", "2.36")
    with pytest.raises(EnvironmentMissing, match="rsdat-is-not-there") as caught:
        download.fetch(wanted, "3.11", tags, lambda line: None, tmp_path)
    assert caught.value.hint
    assert not list(tmp_path.iterdir())
