"""What the filesystem does at a dCache door, through REST and through WebDAV alone."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsdat.storage.dcache import namespace
from tests.dcache.door import Door

NAMES = [
    "f 1+#.txt",
    "x?y.bin",
    "50%20&.txt",
    "é日本.tif",
    "[a]*.txt",
    "semi;colon,'quote'",
    "-dash",
    "~tilde",
    "a=b@c:d",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_survives_every_operation(fs: Any, door: Door, name: str) -> None:
    path, moved, copied = f"/d/{name}", f"/d/m {name}", f"/e/c {name}"
    fs.pipe_file(path, b"content")
    assert door.read(path) == b"content"
    assert fs.ls("/d", detail=False) == fs.find("/d") == [path]
    assert fs.info(path)["name"] == path
    assert fs.cat(path) == b"content"
    with fs.open(path) as file:
        assert file.read() == b"content"
    fs.cp(path, copied)
    fs.mv(path, moved)
    assert door.paths() == ["/d/", f"/d/m {name}", "/e/", f"/e/c {name}"]
    fs.mkdir(f"/{name}")
    assert fs.isdir(f"/{name}")
    fs.rm(moved)
    fs.rm("/e", recursive=True)
    fs.rmdir(f"/{name}")
    assert door.paths() == ["/d/"]


@given(
    name=st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
    ).filter(lambda name: name not in (".", ".."))
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_name_survives(rest_fs: Any, door: Door, name: str) -> None:
    rest_fs.pipe_file(f"/n/{name}", b"x")
    assert rest_fs.ls("/n", detail=False) == [f"/n/{name}"]
    assert rest_fs.cat_file(f"/n/{name}") == b"x"
    rest_fs.rm_file(f"/n/{name}")
    assert door.paths() == ["/n/"]


def test_removing_a_tree_tells_of_each_file(rest_fs: Any, door: Door) -> None:
    rest_fs.pipe({f"/t/{name}": b"1" for name in ("a", "b/c", "b/d")})
    told: list[None] = []
    rest_fs.rm("/t", recursive=True, gone=lambda: told.append(None))
    assert len(told) == 3
    assert not any(path.startswith("/t") for path in door.paths())


def test_removing_a_literal_name_leaves_what_the_pattern_would_match(fs: Any, door: Door) -> None:
    fs.pipe({"/d/x?y.bin": b"1", "/d/xzy.bin": b"2", "/d/[ab]": b"3", "/d/a": b"4"})
    fs.rm("/d/x?y.bin")
    fs.rm("/d/[ab]")
    assert door.paths("/d") == ["/d/a", "/d/xzy.bin"]
    fs.rm("/d/x?y.bin")  # now it is a pattern
    assert door.paths("/d") == ["/d/a"]


def test_get_put_and_copy_take_existing_names_literally(
    fs: Any, door: Door, tmp_path: Path
) -> None:
    fs.pipe({"/d/x?y": b"1", "/d/xzy": b"2", "/s[1]/in": b"3"})
    fs.get("/d/x?y", str(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == b"1"
    fs.get("/s[1]", str(tmp_path / "tree"), recursive=True)
    assert (tmp_path / "tree" / "in").read_bytes() == b"3"
    fs.cp("/d/x?y", "/new")
    assert fs.cat("/new") == b"1"
    (tmp_path / "l?l").write_bytes(b"4")
    (tmp_path / "lol").write_bytes(b"5")
    fs.put(str(tmp_path / "l?l"), "/put")
    assert fs.cat("/put") == b"4"


def test_glob_with_a_prefix(fs: Any) -> None:
    fs.pipe({"/d/b1": b"", "/d/b2": b"", "/d/c": b"", "/d/sub/b3": b""})
    assert fs.glob("/d/b*") == ["/d/b1", "/d/b2"]
    assert fs.glob("/d/**/b?") == ["/d/b1", "/d/b2", "/d/sub/b3"]
    assert fs.glob("/nix/*") == []


def test_a_long_listing_comes_in_pages(
    rest_fs: Any, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace, "PAGE", 7)
    for n in range(21):
        door.put(f"/d/{n:02}")
    door.clear_log()
    assert len(rest_fs.ls("/d", detail=False)) == 21
    queries = [request.query for request in door.requests() if "children" in request.query]
    assert [q.partition("offset=")[2] for q in queries] == ["0", "7", "14", "21"]


def test_info_says_what_the_door_knows(fs: Any, door: Door) -> None:
    door.put("/d/f", b"x" * 5)
    info = fs.info("/d/f")
    assert (info["size"], info["type"], info["locality"]) == (5, "file", "ONLINE")
    assert fs.info("/d")["type"] == "directory"
    assert fs.modified("/d/f") is not None
    assert fs.created("/d/f").tzinfo is not None
    assert fs.checksums("/d/f")["adler32"] == f"{__import__('zlib').adler32(b'x' * 5):08x}"
    assert fs.ls("/d/f", detail=False) == ["/d/f"]


def test_ukey_and_checksum_change_with_the_content(fs: Any) -> None:
    fs.pipe_file("/f", b"one")
    before = fs.ukey("/f"), fs.checksum("/f")
    assert (fs.ukey("/f"), fs.checksum("/f")) == before
    fs.pipe_file("/f", b"other")
    assert fs.ukey("/f") != before[0]
    assert fs.checksum("/f") != before[1]


@pytest.mark.parametrize("span", [(None, None), (2, None), (None, 4), (2, 6), (-3, None)])
@pytest.mark.parametrize("more", [(-5, -2), (3, -1), (8, 20), (20, 30), (5, 5), (-99, 3)])
def test_spans_are_those_of_slices(fs: Any, door: Door, span: Any, more: Any) -> None:
    data = b"0123456789"
    door.put("/f", data)
    for start, end in (span, more):
        assert fs.cat_file("/f", start, end) == data[slice(start, end)]


def test_an_empty_file_is_empty(fs: Any) -> None:
    fs.touch("/empty")
    assert fs.cat("/empty") == b""
    assert fs.cat_file("/empty", 0, 10) == b""
    with fs.open("/empty") as file:
        assert file.read() == b""


def test_ranges_that_lie_close_together_are_one_request(rest_fs: Any, door: Door) -> None:
    data = bytes(range(256)) * 4096
    door.put("/f", data)
    door.clear_log()
    starts = [10, 0, 500_000, 1000, 10]
    ends = [20, 5, 500_100, 1010, 20]
    found = rest_fs.cat_ranges(["/f"] * 5, starts, ends)
    assert found == [data[s:e] for s, e in zip(starts, ends, strict=True)]
    asked = [r for r in door.requests() if r.method == "GET" and r.origin == "pool"]
    assert len([r for r in asked if r.status == 206]) == 2


def test_ranges_return_or_raise_their_errors(fs: Any, door: Door) -> None:
    door.put("/f", b"x")
    found = fs.cat_ranges(["/f", "/nix"], [0, 0], [1, 1])
    assert found[0] == b"x"
    assert isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["/f", "/nix"], [0, 0], [1, 1], on_error="raise")


def test_making_directories(fs: Any) -> None:
    fs.makedirs("/a/b/c")
    with pytest.raises(FileExistsError):
        fs.makedirs("/a/b/c")
    fs.makedirs("/a/b/c", exist_ok=True)
    with pytest.raises(FileExistsError):
        fs.mkdir("/a")
    with pytest.raises(FileNotFoundError):
        fs.mkdir("/x/y", create_parents=False)
    fs.touch("/a/file")
    with pytest.raises(OSError):
        fs.makedirs("/a/file/below")


def test_removing_directories(fs: Any, door: Door) -> None:
    fs.pipe({"/a/b/f": b"", "/a/g": b""})
    for call in (fs.rmdir, fs.rm, fs.rm_file):
        with pytest.raises(OSError, match="not empty"):
            call("/a")
    with pytest.raises(NotADirectoryError):
        fs.rmdir("/a/g")
    fs.rm("/a", recursive=True)
    assert door.paths() == []
    with pytest.raises(FileNotFoundError):
        fs.rm("/a", recursive=True)


def test_moving_a_tree_and_into_a_directory(fs: Any, door: Door) -> None:
    fs.pipe({"/a/f": b"1", "/a/s/g": b"2", "/h": b"3"})
    fs.mv("/a", "/b", recursive=True)
    fs.mv("/h", "/b")
    assert door.paths() == ["/b/", "/b/f", "/b/h", "/b/s/", "/b/s/g"]
    fs.mv("/b/f", "/b/f")
    assert fs.cat("/b/f") == b"1"


def test_a_directory_is_never_replaced_by_a_file(fs: Any, door: Door) -> None:
    fs.pipe({"/d/kept": b"1", "/f": b"2"})
    for call in (fs._mv_file, fs._cp_file):
        with pytest.raises(IsADirectoryError):
            fsspec.asyn.sync(fs.loop, call, "/f", "/d")
    with pytest.raises(IsADirectoryError):
        fs.pipe_file("/d", b"x")
    with pytest.raises(IsADirectoryError), fs.open("/d", "wb") as file:
        file.write(b"x")
    assert door.read("/d/kept") == b"1"


def test_copying_a_file_onto_itself_is_harmless(fs: Any, door: Door) -> None:
    fs.pipe_file("/f", b"kept")
    fs.cp("/f", "/f")
    assert door.read("/f") == b"kept"


def test_touch_without_truncating_keeps_the_content(fs: Any) -> None:
    fs.pipe_file("/f", b"x")
    fs.touch("/f", truncate=False)
    assert fs.cat("/f") == b"x"
    fs.touch("/f")
    assert fs.cat("/f") == b""


def test_dots_in_a_path_are_refused(fs: Any) -> None:
    for path in ("/a/../b", "/./a"):
        with pytest.raises(OSError, match="not allowed"):
            fs.info(path)


def test_labels_and_attributes(rest_fs: Any, make_fs: Callable[..., Any], door: Door) -> None:
    rest_fs.touch("/f")
    rest_fs.setxattrs("/f", {"sensor": "S2", "level": "2A"})
    rest_fs.rmxattrs("/f", ["level"])
    assert rest_fs.getxattrs("/f") == {"sensor": "S2"}
    with pytest.raises(FileExistsError):
        rest_fs.setxattrs("/f", {"sensor": "S1"}, mode="CREATE")
    rest_fs.add_label("/f", "gold")
    assert rest_fs.labels("/f") == ["gold"]
    rest_fs.remove_label("/f", "gold")
    assert rest_fs.labels("/f") == []
    with pytest.raises(OSError, match="no REST interface"):
        make_fs(door, rest=False).add_label("/f", "x")


def test_listings_are_cached_only_when_asked_for(make_fs: Callable[..., Any], door: Door) -> None:
    plain, cached = make_fs(door), make_fs(door, use_listings_cache=True)
    door.put("/d/a")
    assert plain.ls("/d", detail=False) == cached.ls("/d", detail=False) == ["/d/a"]
    door.put("/d/b")
    assert len(plain.ls("/d")) == 2
    assert len(cached.ls("/d")) == 1
    assert len(cached.ls("/d", refresh=True)) == 2
    cached.touch("/d/c")
    assert len(cached.ls("/d")) == 3


def test_a_transaction_shows_its_files_together(fs: Any, door: Door) -> None:
    with fs.transaction:
        for name in ("a", "b"):
            with fs.open(f"/t/{name}", "wb") as file:
                file.write(b"x")
        assert not fs.exists("/t/a")
    assert door.paths("/t") == ["/t/a", "/t/b"]

    def fail() -> None:
        with fs.transaction:
            with fs.open("/t/c", "wb") as file:
                file.write(b"x")
            raise RuntimeError("of the writer")

    with pytest.raises(RuntimeError, match="of the writer"):
        fail()
    assert door.paths("/t") == ["/t/a", "/t/b"]


# --- instances


def test_each_door_has_its_own_instance(make_door: Callable[..., Door]) -> None:
    first, _ = fsspec.url_to_fs("dcache://one.example.org/a")
    second, path = fsspec.url_to_fs("dcache://two.example.org:1234/b c#d?e%20f")
    again, _ = fsspec.url_to_fs("dcache://one.example.org/z")
    assert again is first is not second
    assert first.door.webdav == "https://one.example.org:2880"
    assert second.door.webdav == "https://two.example.org:1234"
    assert path == "/b c#d?e%20f"
    assert second.unstrip_protocol(path) == "dcache://two.example.org:1234/b c#d?e%20f"
    davs, _ = fsspec.url_to_fs("davs://cloud.example.org/x")
    assert davs.door.webdav == "https://cloud.example.org"


def test_an_address_of_another_door_is_refused() -> None:
    first, _ = fsspec.url_to_fs("dcache://one.example.org/a")
    with pytest.raises(ValueError, match="another door"):
        first.rm("dcache://two.example.org/a")
    assert first._strip_protocol("dcache://one.example.org/a") == "/a"


def test_the_rest_interface_is_found_where_it_is_announced(
    make_fs: Callable[..., Any], make_door: Callable[..., Door], door: Door, token_file: Path
) -> None:
    from rsdat.storage.dcache import finding

    door.put("/f")
    found = make_fs(door, api=None)
    original = finding.REST_PORT
    finding.REST_PORT = int(door.rest.rpartition(":")[2])
    try:
        found.info("/f")
    finally:
        finding.REST_PORT = original
    assert found.door.api == f"{door.rest}/api/v1"
    asked = [r for r in door.requests() if "well-known" in r.path]
    assert asked
    assert not any(r.authorized for r in asked)
    alone = make_fs(make_door(rest=False), api=None)
    assert alone.ls("/") == []
    assert alone.door.api is None


def test_the_configuration_names_the_rest_interface(
    door: Door, token_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "config" / "rsdat"
    configuration.mkdir(parents=True)
    (configuration / "defaults.yaml").write_text(
        f"credentials:\n  {door.webdav}:\n    token_file: {token_file}\n"
        f"    api: {door.rest}/api/v1\n"
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    door.put("/f", b"x")
    fs = fsspec.filesystem("dcache", webdav=door.webdav, skip_instance_cache=True)
    assert fs.info("/f")["pnfsid"]
    assert fs.locality("/f") == "ONLINE"
    assert fs.door.tape == f"{door.rest}/api/v1/tape"
    fs.close()


def test_an_instance_travels_to_other_processes(rest_fs: Any, door: Door) -> None:
    door.put("/f", b"x")
    there = pickle.loads(pickle.dumps(rest_fs))
    assert there.cat("/f") == b"x"
    assert len(pickle.dumps(rest_fs)) < 1000
    back = fsspec.AbstractFileSystem.from_json(rest_fs.to_json())
    assert back.cat("/f") == b"x"
    back.close()
    there.close()


def test_many_threads_share_an_instance(rest_fs: Any, door: Door) -> None:
    for n in range(8):
        door.put(f"/f{n}", b"%d" % n)
    found: dict[int, bytes] = {}

    def read(n: int) -> None:
        for _ in range(5):
            found[n] = rest_fs.cat(f"/f{n}")

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: b"%d" % n for n in range(8)}


def test_it_works_in_a_loop_of_its_user(make_fs: Callable[..., Any], door: Door) -> None:
    async def work() -> bytes:
        fs = make_fs(door, asynchronous=True)
        await fs._pipe_file("/d/f", b"0123456789")
        file = await fs.open_async("/d/f")
        async with file:
            part = await file.read(4)
        whole: bytes = (await asyncio.gather(*(fs._cat_file("/d/f") for _ in range(9))))[0]
        await fs._close()
        return bytes(part) + whole

    assert asyncio.run(work()) == b"0123" + b"0123456789"


def test_dask_workers_read_and_write(rest_fs: Any, door: Door) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        jobs = [client.submit(_upload, rest_fs, f"/w/{n}", b"%d" % n) for n in range(4)]
        assert client.gather(jobs) == [b"%d" % n for n in range(4)]
        failing = client.submit(rest_fs.cat, "/nix")
        with pytest.raises(FileNotFoundError, match="/nix"):
            failing.result()
    assert len(door.paths("/w")) == 4


def _upload(fs: Any, path: str, data: bytes) -> bytes:
    fs.pipe_file(path, data)
    return bytes(fs.cat_file(path))


def test_the_entry_point_is_found_without_an_import() -> None:
    from importlib.metadata import entry_points

    names = {point.name: point.value for point in entry_points(group="fsspec.specs")}
    assert names["dcache"] == "rsdat.storage.dcache:DCacheFileSystem"
    assert {"dav", "davs"} <= set(names)


def test_to_json_is_json(rest_fs: Any) -> None:
    assert json.loads(rest_fs.to_json())["protocol"] == "dcache"
