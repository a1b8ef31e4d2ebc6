import pytest

from rsdat.environment import lock

TEXT = """\
# a comment
affine==3.0.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Bokeh==3.9.2 ; python_full_version < '3.12' \\
    --hash=sha256:cc
bokeh==3.10.2 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
pywinpty==3.1.2 ; os_name == 'nt' \\
    --hash=sha256:ee
"""


def test_lines_with_their_markers_and_hashes() -> None:
    affine, old, *_ = lock.parse(TEXT)
    assert affine == lock.Locked("affine", "3.0.1", None, frozenset({"aa", "bb"}))
    assert (old.name, old.marker) == ("bokeh", "python_full_version < '3.12'")
    assert affine.requirement() == "affine==3.0.1 --hash=sha256:aa --hash=sha256:bb"


def test_only_what_applies_there() -> None:
    there = {"python_full_version": "3.13.1", "os_name": "posix"}
    found = lock.applying(lock.parse(TEXT), there)
    assert {name: line.version for name, line in found.items()} == {
        "affine": "3.0.1",
        "bokeh": "3.10.2",
    }


@pytest.mark.parametrize("text", ["affine==3.0.1\n", "affine>=3 --hash=sha256:aa\n", "-e .\n"])
def test_a_line_that_pins_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a pinned requirement"):
        lock.parse(text)
