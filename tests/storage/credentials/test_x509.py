"""Servers of others that know users by certificates: Apache's mod_ssl, XRootD with proxies."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import numpy as np
import pytest
import rasterio

from rsdat.errors import CredentialError
from rsdat.raster import handles
from rsdat.raster.files import header
from rsdat.raster.reading import read
from rsdat.raster.sources import Source
from rsdat.storage import read_text
from rsdat.storage.dcache import client
from rsdat.storage.transfer import copy_file
from rsdat.storage.transfer_errors import Denied
from rsdat.storage.transfer_listing import expand
from rsdat.storage.transfer_places import place_of
from tests.dcache.certificates import Authority
from tests.servers.grid import MEMBER, Grid
from tests.storage.secrets import Person, person
from tests.storage.transfer_ends import short_clock

__all__ = ["person", "short_clock"]

Enter = Callable[..., str]


@pytest.fixture
def enter(person: Person, short_clock: None, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Lay a certificate down for a server; the address of a fresh directory there."""
    monkeypatch.setattr(client, "CREDENTIAL_SECONDS", 0.0)
    handles.forget()
    # Their connections keep the certificate of an earlier test.
    for scheme in ("davs", "https"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()

    def told(grid: Grid, certificate: bytes | None, below: str = "") -> str:
        grid.authority.write(person.home / "ca.pem")
        host = urlsplit(grid.server.url).netloc
        entry = {"ca_file": "~/ca.pem"}
        if certificate is not None:
            person.secret("x509", certificate.decode())
            entry["proxy_file"] = "~/x509"
        person.credentials(**{host: entry})
        return f"davs://{host}{below}/t{secrets.token_hex(4)}"

    return told


@pytest.fixture(params=["every", "some", "xrootd"])
def entered(request: pytest.FixtureRequest, enter: Enter) -> str:
    """A directory on each server, with a certificate that is good there."""
    if request.param == "xrootd":
        grid: Grid = request.getfixturevalue("xrootd_grid")
        return enter(grid, grid.authority.proxy(MEMBER))
    every, some = request.getfixturevalue("apache_grids")
    # Apache takes no proxies: its OpenSSL would have to be told to.
    if request.param == "every":
        return enter(every, every.authority.user("anyone"))
    return enter(some, some.authority.user("anyone"), "/members")


def refused(call: Callable[[], object], words: str, *hints: str) -> None:
    with pytest.raises(PermissionError, match=words) as caught:
        call()
    for hint in hints:
        assert hint in str(caught.value.hint)  # type: ignore[attr-defined]


def test_files_are_listed_written_read_and_removed(entered: str, tmp_path: Path) -> None:
    place = place_of(entered)
    data = secrets.token_bytes(300_000)
    place.fs.pipe_file(f"{place.path}/a b", data)
    with place.fs.open(f"{place.path}/c", "wb", size=300_000) as file:
        for start in range(0, 300_000, 50_000):
            file.write(data[start : start + 50_000])
    assert place.fs.cat_file(f"{place.path}/a b", 1000, 2000) == data[1000:2000]
    assert [one.name for one in expand(f"{entered}/*")] == ["a b", "c"]
    place.fs.mv(f"{place.path}/a b", f"{place.path}/d")
    copy_file(f"{entered}/d", str(tmp_path / "d"))
    copy_file(f"{entered}/c".replace("davs:", "https:"), str(tmp_path / "c"))
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes() == data
    place.fs.rm(place.path, recursive=True)
    assert not place.fs.exists(place.path)


def test_gdal_shows_the_certificate(entered: str, tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16"}
    grid = rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000)
    with rasterio.open(tmp_path / "x", "w", crs="EPSG:32632", transform=grid, **profile) as opened:
        opened.write(pixels, 1)
    copy_file(str(tmp_path / "x"), f"{entered}/x.tif")
    source = Source(item="scene", asset="red", href=f"{entered}/x.tif", band=1)
    np.testing.assert_array_equal(read(source, header(source).geobox, dtype="uint16"), pixels)


@pytest.fixture(params=["apache", "xrootd"])
def grid(request: pytest.FixtureRequest) -> Grid:
    name = {"apache": "apache_grids", "xrootd": "xrootd_grid"}[request.param]
    found = request.getfixturevalue(name)
    chosen: Grid = found[0] if isinstance(found, tuple) else found
    return chosen


def test_a_certificate_of_another_authority(grid: Grid, enter: Enter, tmp_path: Path) -> None:
    top = enter(grid, Authority().proxy(MEMBER))
    words = r"does not accept the certificate of ~/x509 \(unknown authority; it ends on \d{4}-"
    hints = ("voms-proxy-init", "grid-proxy-init", "which authorities")
    web = top.replace("davs:", "https:")
    for url in (top, web):
        refused(lambda url=url: expand(f"{url}/f"), words, *hints)  # type: ignore[misc]
        refused(lambda url=url: read_text(f"{url}/f"), words, *hints)  # type: ignore[misc]
        with pytest.raises(Denied, match=words):
            copy_file(f"{url}/f", str(tmp_path / "f"))
    place = place_of(top)
    refused(lambda: place.fs.pipe_file(f"{place.path}/f", bytes(300_000)), words, *hints)
    refused(lambda: place.fs.open(f"{place.path}/f", "xb"), words, *hints)
    with pytest.raises(CredentialError, match=words):
        header(Source(item="scene", asset="red", href=f"{top}/x.tif", band=1))
    assert list(tmp_path.glob("*.part")) == []


def test_a_proxy_where_only_certificates_are_taken(
    apache_grids: tuple[Grid, Grid], enter: Enter
) -> None:
    for grid, below in zip(apache_grids, ("", "/members"), strict=True):
        top = enter(grid, grid.authority.proxy(MEMBER), below)
        refused(lambda top=top: expand(top), "certificate unknown", "whether it takes proxies")  # type: ignore[misc]


def test_no_certificate(grid: Grid, apache_grids: tuple[Grid, Grid], enter: Enter) -> None:
    top = enter(grid, None)
    refused(lambda: expand(top), "wants a c.* none is configured")
    top = enter(apache_grids[0], None)
    refused(lambda: expand(top), "certificate required", "proxy_file", "voms-proxy-init")


def test_a_user_who_may_not(xrootd_grid: Grid, enter: Enter) -> None:
    top = enter(xrootd_grid, xrootd_grid.authority.proxy("eve"))
    place = place_of(top)
    words = "proxy_file=~/x509.* does not allow it"
    refused(lambda: place.fs.pipe_file(f"{place.path}/f", b"x"), words, "a user the right")
    refused(lambda: place.fs.ls("/"), words)


def test_an_expired_proxy_says_which_when_and_what_next(grid: Grid, enter: Enter) -> None:
    top = enter(grid, grid.authority.proxy(MEMBER, hours=-2))
    words = r"the certificate of ~/x509 expired on \d{4}-\d\d-\d\d \d\d:\d\d"
    place = place_of(top)
    for call in (
        lambda: expand(top),
        lambda: read_text(f"{top}/f"),
        lambda: read_text(f"{top}/f".replace("davs:", "https:")),
        lambda: place.fs.pipe_file(f"{place.path}/f", b"x"),
        lambda: place.fs.open(f"{place.path}/f"),
        lambda: header(Source(item="scene", asset="red", href=f"{top}/x.tif", band=1)),
    ):
        refused(call, words, "voms-proxy-init", "grid-proxy-init")


@pytest.mark.parametrize("scheme", ["davs", "https"])
def test_a_proxy_that_was_renewed_counts_for_what_is_open(
    xrootd_grid: Grid, enter: Enter, person: Person, scheme: str
) -> None:
    authority = xrootd_grid.authority
    top = enter(xrootd_grid, authority.proxy(MEMBER))
    place = place_of(top)
    place.fs.pipe_file(f"{place.path}/f", b"content")
    person.secret("x509", Authority().proxy("a stranger").decode())
    opened = place_of(f"{top}/f".replace("davs:", f"{scheme}:"))
    if scheme == "davs":
        opened.fs.close()  # A connection keeps the certificate that it began with.
    with pytest.raises(Exception, match=r"authority|unknown ca"):
        opened.fs.cat_file(opened.path)
    person.secret("x509", authority.proxy(MEMBER).decode())
    assert opened.fs.cat_file(opened.path) == b"content"
