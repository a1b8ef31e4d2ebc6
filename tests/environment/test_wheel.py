import io
import shutil
import zipfile
from importlib import metadata
from pathlib import Path

import rsdat
from rsdat.environment import wheel


def copy(tmp_path: Path) -> Path:
    """A copy of the installed form: the package with its shipped data, without a checkout."""
    package = tmp_path / "rsdat"
    package.mkdir()
    for name, content in wheel.contents(Path(rsdat.__file__).parent).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return package


def test_equal_contents_give_equal_wheels(tmp_path: Path) -> None:
    assert wheel.pack(copy(tmp_path)) == wheel.pack()
    shutil.rmtree(tmp_path / "rsdat" / "__pycache__", ignore_errors=True)
    (tmp_path / "rsdat" / "__pycache__").mkdir()
    (tmp_path / "rsdat" / "__pycache__" / "x.pyc").write_bytes(b"")
    assert wheel.pack(tmp_path / "rsdat") == wheel.pack()


def test_the_version_stands_for_the_contents(tmp_path: Path) -> None:
    package = copy(tmp_path)
    before = wheel.pack(package)
    assert before.version.startswith(f"{rsdat.__version__}+g")
    (package / "_shipped" / "schema.json").write_text("{}")
    after = wheel.pack(package)
    assert after.version != before.version
    with zipfile.ZipFile(io.BytesIO(after.content)) as archive:
        described = archive.read(f"rsdat-{after.version}.dist-info/METADATA").decode()
        assert f"\nVersion: {after.version}\n" in described
        assert "\nRequires-Dist: dask" in described
        assert archive.read("rsdat/_shipped/schema.json") == b"{}"


def test_a_release_from_an_index_keeps_its_version(tmp_path: Path) -> None:
    info = tmp_path / "rsdat-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: rsdat\nVersion: 1.2.3\n")
    assert wheel.released(metadata.Distribution.at(info))
    (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
    assert not wheel.released(metadata.Distribution.at(info))
