"""`rsdat data`: what its commands print, ask, refuse and leave with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.storage.secrets import person
from tests.storage.transfer_ends import Ends, ends, short_clock

__all__ = ["ends", "person", "short_clock"]


def rsdat(*words: str, code: int = 0, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from rsdat.cli import main; main()", "data", *words]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def tree(ends: Ends) -> Ends:
    """``/d`` with two files, one of them named like a pattern, and a directory."""
    for name, data in {
        "a.tif": b"12345",
        "x?y.tif": b"1",
        "xzy.tif": b"2",
        "deep/b": b"123",
    }.items():
        ends.write(ends.url("https", name), data)
    return ends


def test_a_directory_is_listed_by_name_in_full_and_as_json(tree: Ends) -> None:
    top = tree.urls["dcache"]
    assert rsdat("ls", top).stdout.splitlines() == ["a.tif", "deep/", "x?y.tif", "xzy.tif"]
    assert rsdat("ls", "-r", top).stdout.splitlines() == ["a.tif", "deep/b", "x?y.tif", "xzy.tif"]
    assert rsdat("ls", f"{top}/*.tif").stdout.splitlines() == [
        f"{top}/{name}" for name in ("a.tif", "x?y.tif", "xzy.tif")
    ]
    tree.door.to_tape("/d/a.tif")
    line = rsdat("ls", "-l", top).stdout.splitlines()[0].split()
    assert (line[:2], line[-2:]) == (["5", "B"], ["NEARLINE", "a.tif"])
    found = json.loads(rsdat("ls", "--json", top).stdout)[0]
    assert (found["url"], found["bytes"], found["locality"]) == (f"{top}/a.tif", 5, "NEARLINE")
    for gone in (f"{top}/none", f"{top}/n*"):
        done = rsdat("ls", gone, code=8)
        assert gone in done.stderr
        assert "Traceback" not in done.stderr


def test_bytes_are_poured_out_and_counted(tree: Ends) -> None:
    top = tree.urls["dcache"]
    assert rsdat("cat", f"{top}/a.tif", f"{top}/x?y.tif").stdout == "123451"
    assert "is a directory" in rsdat("cat", f"{top}/deep", code=8).stderr
    assert rsdat("du", top).stdout.split() == ["10", "B", "4", "file(s)", top]
    counted = json.loads(rsdat("du", "--json", f"{top}/deep").stdout)
    assert counted == [{"url": f"{top}/deep", "bytes": 3, "files": 1}]


def test_files_are_copied_once_and_the_report_says_so(tree: Ends, tmp_path: Path) -> None:
    source, target = tree.urls["dcache"], str(tmp_path / "copy")
    plan = rsdat("cp", "-r", "--dry-run", source, target).stdout
    assert f"{source}/deep/b → {target}/deep/b" in plan
    assert "4 file(s), 10 B" in plan
    assert not Path(target).exists()
    assert rsdat("cp", "-r", source, target).stdout.startswith("4 file(s) copied, 10 B (")
    assert (Path(target) / "x?y.tif").read_bytes() == b"1"
    again = rsdat("cp", "-r", f"{source}/", target)
    assert again.stdout.startswith("0 file(s) copied, 0 B; 4 equal and skipped")
    assert again.stderr == ""
    assert "give -r" in rsdat("cp", source, target, code=8).stderr
    assert "no such choice" in rsdat("cp", source, target, "--overwrite", "some", code=3).stderr


def test_a_slash_at_the_end_means_what_is_in_it(tree: Ends, tmp_path: Path) -> None:
    source = f"{tree.urls['dcache']}/deep"
    for words, found in (
        ((source, "new"), "new/b"),
        ((source, "there"), "there/deep/b"),
        ((f"{source}/", "there"), "there/b"),
        ((source, "other/"), "other/deep/b"),
        ((f"{source}/b", "c"), "c"),
        ((f"{source}/b", "dir/"), "dir/b"),
        ((f"{source}/b", f"{tree.urls['dcache']}/a.tif", "both"), "both/a.tif"),
    ):
        (tmp_path / "there").mkdir(exist_ok=True)
        rsdat("cp", "-r", *words, cwd=str(tmp_path))
        assert (tmp_path / found).is_file(), words
    assert "into itself" in rsdat("cp", "-r", "there", "there/in", cwd=str(tmp_path), code=8).stderr


def test_one_bad_file_does_not_stop_the_rest(tree: Ends, tmp_path: Path) -> None:
    tree.door.fault("status", "/d/a.tif", origin="webdav", value=403, times=None)
    done = rsdat("cp", "-r", "--json", tree.urls["dcache"], str(tmp_path / "c"), code=8)
    report = json.loads(done.stdout)
    assert len(report["copied"]) == 3
    assert [one["source"] for one in report["failed"]] == [f"{tree.urls['dcache']}/a.tif"]
    assert report["failed"][0]["hint"]
    done = rsdat("cp", "-r", f"{tree.urls['dcache']}/", str(tmp_path / "c"), code=8)
    assert "a.tif was not copied" in done.stderr
    assert "3 equal and skipped; 1 failed" in done.stdout


def test_no_secret_of_an_address_is_shown(tree: Ends, tmp_path: Path) -> None:
    signed = tree.url("https", "none.tif") + "?sig=hidden-secret"
    for words in (("cp", signed, str(tmp_path)), ("ls", signed), ("cat", signed)):
        done = rsdat(*words, code=8)
        assert "hidden-secret" not in done.stdout + done.stderr
        assert "none.tif" in done.stderr
    signed = tree.url("https", "a.tif") + "?sig=hidden-secret"
    done = rsdat("cp", "--json", signed, str(tmp_path / "x"))
    assert "hidden-secret" not in done.stdout + done.stderr
    done = rsdat("cp", signed, f"{tmp_path}/")
    assert (tmp_path / "a.tif").is_file()


def test_a_name_that_looks_like_a_pattern_removes_that_file_alone(tree: Ends) -> None:
    top = tree.urls["dcache"]
    rsdat("rm", f"{top}/x?y.tif")
    assert tree.door.exists("/d/xzy.tif")
    assert not tree.door.exists("/d/x?y.tif")
    done = rsdat("rm", f"{top}/*.tif", code=3)  # nobody is there to be asked
    assert "2 file(s), 6 B would be removed" in done.stderr
    assert tree.door.exists("/d/a.tif")
    rsdat("rm", "--yes", f"{top}/*.tif")
    assert tree.door.paths("/d") == ["/d/deep/", "/d/deep/b"]


def test_a_directory_is_removed_only_when_asked_for(tree: Ends, tmp_path: Path) -> None:
    top = tree.urls["dcache"]
    assert "give -r" in rsdat("rm", f"{top}/deep", code=8).stderr
    assert rsdat("rm", "-r", "--dry-run", f"{top}/deep").stdout == f"{top}/deep/\n"
    assert "give --yes" in rsdat("rm", "-r", f"{top}/deep", code=3).stderr
    assert tree.door.exists("/d/deep/b")
    rsdat("rm", "-r", "-y", f"{top}/deep")
    assert not tree.door.exists("/d/deep")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "f").touch()
    (tmp_path / "link").symlink_to(kept)
    rsdat("rm", "-r", "-y", str(tmp_path / "link"))
    assert (kept / "f").exists()
    assert not os.path.lexists(tmp_path / "link")
    rsdat("rm", f"{top}/none", code=8)


def test_moving_renames_within_a_server_and_copies_between(tree: Ends, tmp_path: Path) -> None:
    top = tree.urls["dcache"]
    tree.door.clear_log()
    assert rsdat("mv", f"{top}/deep", f"{top}/moved").stdout.startswith("1 file(s) moved")
    assert not tree.door.requests("pool")
    assert tree.door.read("/d/moved/b") == b"123"
    rsdat("mv", f"{top}/moved", str(tmp_path / "away"))
    assert (tmp_path / "away" / "b").read_bytes() == b"123"
    assert not tree.door.exists("/d/moved")
    rsdat("mv", str(tmp_path / "away" / "b"), str(tmp_path / "c"))
    rsdat("mv", str(tmp_path / "c"), str(tmp_path / "c"))
    assert (tmp_path / "c").read_bytes() == b"123"
    tree.door.fault("checksum", "/d/a.tif", times=None)
    done = rsdat("mv", f"{top}/a.tif", f"{top}/x?y.tif", str(tmp_path), code=8)
    assert "checksum" in done.stderr
    assert tree.door.exists("/d/a.tif")
    assert not tree.door.exists("/d/x?y.tif")


def test_files_on_tape_are_brought_in_bulk(tree: Ends) -> None:
    top = tree.urls["dcache"]
    for name in ("/d/a.tif", "/d/xzy.tif"):
        tree.door.to_tape(name)
    assert "NEARLINE" in rsdat("locality", f"{top}/a.tif").stdout
    done = rsdat("stage", f"{top}/*.tif", "--no-wait", "--lifetime", "PT2H")
    assert done.stdout == "1 on disk already; 2 on their way from tape\n"
    (asked,) = [r for r in tree.door.requests("frontend", "POST") if r.path.endswith("/stage")]
    assert asked.status == 201
    tree.door.state.tape.delay = 0
    tree.door.advance(10**6)
    assert rsdat("stage", "-r", top).stdout == "4 on disk already\n"
    assert rsdat("release", f"{top}/a.tif").stdout == "1 file(s) released\n"


def test_a_lost_file_is_named(tree: Ends) -> None:
    top = tree.urls["dcache"]
    tree.door.to_tape("/d/a.tif")
    tree.door.entry("/d/a.tif").trouble = "LOST"
    done = rsdat("stage", f"{top}/a.tif", f"{top}/deep/b", code=8)
    assert "1 on disk already; 1 failed" in done.stdout
    assert f"{top}/a.tif does not come: its locality is LOST" in done.stderr
    found = json.loads(rsdat("stage", "--json", f"{top}/a.tif", code=8).stdout)
    assert list(found["failed"]) == [f"{top}/a.tif"]


def test_the_assets_of_a_catalog_are_staged(tree: Ends, tmp_path: Path) -> None:
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "geometry": {"type": "Point", "coordinates": [5.0, 52.0]},
        "bbox": [5.0, 52.0, 5.0, 52.0],
        "properties": {"datetime": "2024-06-01T10:00:00Z"},
        "links": [],
        "assets": {
            "red": {"href": tree.url("dcache", "a.tif")},
            "nir": {"href": tree.url("dcache", "xzy.tif")},
        },
    }
    catalog = tmp_path / "items.json"
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    tree.door.to_tape("/d/a.tif")
    words = ("stage", str(catalog), "--no-wait")
    assert rsdat(*words, "--assets", "nir").stdout == "1 on disk already\n"
    assert "1 on their way" in rsdat(*words).stdout
    assert "has no assets blue" in rsdat(*words, "--assets", "blue", code=8).stderr


def test_an_empty_name_and_a_whole_server_are_refused(tree: Ends, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    for words in (("rm", "-r", "-y", ""), ("mv", "", "there"), ("cp", "precious", ""), ("ls", "")):
        done = rsdat(*words, cwd=str(tmp_path), code=2)
        assert "a name is empty" in done.stderr
    root = tree.urls["dcache"].removesuffix("/d")
    for words in (("rm", "-r", "-y", f"{root}/"), ("rm", "-r", "-y", root), ("mv", root, "x")):
        assert "is all that there is" in rsdat(*words, cwd=str(tmp_path), code=3).stderr
    assert (tmp_path / "precious").exists()
    assert rsdat("cat", f"{tree.urls['dcache']}/a.tif").stdout == "12345"


def test_nothing_goes_to_plain_http(tree: Ends) -> None:
    source, target = f"{tree.urls['dcache']}/a.tif", tree.url("https", "new.tif")
    for command in ("cp", "mv"):
        assert "plain http" in rsdat(command, source, target, code=3).stderr
    assert not tree.door.exists("/d/new.tif")


def test_what_would_be_removed_is_said_to_scripts_too(tree: Ends) -> None:
    top = tree.urls["dcache"]
    said = rsdat("rm", "-r", "--dry-run", "--json", f"{top}/deep", f"{top}/a.tif").stdout
    assert json.loads(said) == [f"{top}/deep/", f"{top}/a.tif"]
    assert tree.door.exists("/d/a.tif")
