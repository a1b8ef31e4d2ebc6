"""This rsdat as a wheel, packed from what is imported: no build backend or index needed."""

from __future__ import annotations

import base64
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import rsdat
from rsdat.errors import EnvironmentMissing

_SKIPPED = ("__pycache__", "_shipped", ".ipynb_checkpoints")


@dataclass(frozen=True)
class Wheel:
    """A wheel in memory."""

    version: str
    content: bytes

    @property
    def filename(self) -> str:
        """The name by which installers know it."""
        return f"rsdat-{self.version}-py3-none-any.whl"


def shipped_table(checkout: Path) -> dict[str, Path]:
    """Files of a checkout that the wheel carries copies of: place in the wheel to file.

    The table is the build backend's own, in ``pyproject.toml``.
    """
    settings = tomllib.loads((checkout / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    table: dict[str, Path] = {}
    for source, target in wheel["force-include"].items():
        path = checkout / source
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file():
                    table[f"{target}/{file.relative_to(path).as_posix()}"] = file
        else:
            table[target] = path
    return table


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name in _SKIPPED:
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix != ".pyc":
            yield path


def contents(package: Path) -> dict[str, bytes]:
    """Place in the wheel to content, of the package's files and the data shipped with it."""
    checkout = package.parent
    paths = {path.relative_to(checkout).as_posix(): path for path in _files(package)}
    if (checkout / "pyproject.toml").is_file():
        paths |= shipped_table(checkout)
    elif (package / "_shipped").is_dir():
        for path in (package / "_shipped").rglob("*"):
            if path.is_file():
                paths[path.relative_to(checkout).as_posix()] = path
    return {name: paths[name].read_bytes() for name in sorted(paths)}


def released(distribution: metadata.Distribution) -> bool:
    """Whether this came from an index by its name: then its version alone says what it holds.

    An editable installation, one from a directory, a repository or a wheel file leaves
    ``direct_url.json`` (PEP 610).
    """
    return distribution.read_text("direct_url.json") is None


def local_version(version: str, files: Mapping[str, bytes]) -> str:
    """``X.Y.Z+gHASH``: the version with a short hash of the contents."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return f"{version.split('+')[0]}+g{digest.hexdigest()[:10]}"


def pack(package: Path | None = None) -> Wheel:
    """Pack the rsdat that is running, or a copy of its package.

    Raises :class:`~rsdat.errors.EnvironmentMissing` when it is not an installed package.
    """
    try:
        distribution = metadata.distribution("rsdat")
    except metadata.PackageNotFoundError:
        raise EnvironmentMissing(
            "this rsdat is not installed on this machine, so its wheel cannot be packed",
            hint="install it: make install, or pip install --editable .",
        ) from None
    files = contents(package or Path(rsdat.__file__).parent)
    version = distribution.version
    if not released(distribution):
        version = local_version(version, files)
    info = f"rsdat-{version}.dist-info"
    described = distribution.read_text("METADATA") or "Metadata-Version: 2.1\nName: rsdat\n"
    files = {
        **files,
        f"{info}/METADATA": _with_version(described, version).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: rsdat\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": (distribution.read_text("entry_points.txt") or "").encode(),
    }
    if not released(distribution):
        # Says that this is from no index, also when it is packed again over there.
        files[f"{info}/direct_url.json"] = b'{"url": "file:///", "dir_info": {}}'
    return Wheel(version, _archive(files, f"{info}/RECORD"))


def _with_version(described: str, version: str) -> str:
    head, separator, body = described.partition("\n\n")
    lines = [line for line in head.splitlines() if not line.startswith("Version:")]
    place = next(i for i, line in enumerate(lines) if line.startswith("Name:")) + 1
    lines.insert(place, f"Version: {version}")
    return "\n".join(lines) + separator + body


def _archive(files: Mapping[str, bytes], record: str) -> bytes:
    """A zip archive with the list of its files; equal contents give equal bytes."""
    rows = []
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)

        for name, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append(f"{name},sha256={digest.decode()},{len(content)}")
            add(name, content)
        add(record, ("\n".join([*rows, f"{record},,"]) + "\n").encode())
    return stream.getvalue()


def write(directory: Path) -> Path:
    """Pack into a directory, in place of other versions there; returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("rsdat-*.whl"):
        old.unlink()
    wheel = pack()
    path = directory / wheel.filename
    path.write_bytes(wheel.content)
    return path


if __name__ == "__main__":
    import sys

    print(write(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
