"""Signatures are added to requests, and are nowhere else: not in what is written, shown or sent."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rsdat import copy_catalog, get_asset, load, open_catalog, search
from rsdat.errors import ConfigError, CredentialError, DataError
from rsdat.storage import gdal, read_text, signing, storage_options
from rsdat.storage.credentials import Credential, sas
from rsdat.storage.transfer_places import place_of
from tests.catalog.catalogs import item, raster, write, write_catalog
from tests.storage.hunting import Hunt
from tests.storage.secrets import Person, person
from tests.storage.signed_servers import (
    Answer,
    Archive,
    Asked,
    Blobs,
    archive,
    blobs,
    serving,
)

__all__ = ["person"]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    sas._kept.clear()
    for pattern, _ in signing.registered():
        signing.register_signer(pattern, None)


@pytest.fixture
def storage(tmp_path: Path, person: Person) -> Iterator[Blobs]:
    """A catalog in blob storage, which the configuration knows the token service of."""
    source = tmp_path / "blobs" / "account" / "container"
    content = {**item("i"), "assets": {"red": {"href": "./red.tif", "type": "image/tiff"}}}
    write_catalog(source, [content])
    raster(source / "c" / "i" / "red.tif")
    with blobs(tmp_path / "blobs") as found:
        place = f"{found.address}/account"
        person.credentials(**{place: {"sas": f"{found.address}/token"}})
        yield found


def address(storage: Blobs, name: str = "catalog.json") -> str:
    return f"{storage.address}/account/container/{name}"


def test_a_catalog_is_opened_searched_and_copied_with_one_token(
    storage: Blobs, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    report = copy_catalog(address(storage), target)
    assert (len(report.copied), report.failed) == (1, ())
    assert len(storage.tokens) == 1
    for file in target.rglob("*.json"):
        assert "sig=" not in file.read_text()
    assert "sig=" not in repr(report)


def test_rasters_are_read_by_gdal_itself(storage: Blobs) -> None:
    found = search(address(storage))
    assert int(get_asset(found[0], "red").sum()) == 32 * 16
    lazy = load(found, ["red"], scale=False)
    assert b"sig=" not in pickle.dumps(lazy)
    assert int(lazy["red"].sum()) == 32 * 16


def test_a_token_is_kept_until_it_ends(storage: Blobs) -> None:
    storage.lifetime = 0
    read_text(address(storage))
    many = len(storage.tokens)
    read_text(address(storage))
    assert len(storage.tokens) > many
    storage.lifetime = 3600
    read_text(address(storage))
    many = len(storage.tokens)
    read_text(address(storage))
    assert len(storage.tokens) == many


def test_a_server_that_refuses_is_told_without_the_signature(storage: Blobs) -> None:
    read_text(address(storage))
    storage.tokens.append("another one")
    with pytest.raises(DataError) as caught:
        read_text(address(storage))
    assert "403" in str(caught.value)
    assert "SIGNATURE" not in str(caught.value)
    found = open_catalog_item(storage)
    with pytest.raises(DataError) as caught:
        get_asset(found, "red").compute()
    assert "refuses" in str(caught.value) or "403" in str(caught.value)
    assert "SIGNATURE" not in str(caught.value)


def test_an_error_of_fsspecs_own_filesystem_keeps_no_signature(storage: Blobs) -> None:
    read_text(address(storage))
    storage.tokens.append("another one")
    place = place_of(address(storage))
    hunt = Hunt({"signature": ["sig=", "SIGNATURE"]})
    with hunt.listening(), pytest.raises(Exception, match="403") as caught:
        place.fs.cat_file(place.path)
    hunt.error("a refusal", caught.value)
    hunt.filesystem("the filesystem", place.fs)
    assert "fsspec" in hunt.loggers
    assert hunt.seen == []


def open_catalog_item(storage: Blobs) -> Any:
    import pystac

    content = {**item("i"), "assets": {"red": {"href": address(storage, "c/i/red.tif")}}}
    return pystac.Item.from_dict(content)


def test_what_is_kept_and_sent_holds_no_signature(storage: Blobs) -> None:
    read_text(address(storage))
    options = storage_options(address(storage))
    assert b"SIGNATURE" not in pickle.dumps(options)
    assert "SIGNATURE" not in repr(options)
    assert "SIGNATURE" not in repr(sas._kept)
    path = gdal.gdal_path(address(storage))
    assert gdal.scrub(f"{path}: 403", address(storage)).count("SIGNATURE") == 0
    assert "SIGNATURE" not in json.dumps(gdal.options(address(storage)))


def test_a_token_service_that_leads_elsewhere_does_not_take_the_secret_along(
    person: Person,
) -> None:
    person.secret("key", "the-key")
    heard: list[Asked] = []

    def stranger(asked: Asked) -> Answer:
        heard.append(asked)
        return 404, {}, b""

    with serving(stranger, "localhost") as elsewhere:

        def service(asked: Asked) -> Answer:
            heard.append(asked)
            return 302, {"Location": f"{elsewhere}/token"}, b""

        with serving(service) as address:
            entries = {
                f"{address}/account": {"sas": f"{address}/token"},
                f"{address}/token": {"token_file": "~/key"},
            }
            person.credentials(**entries)
            with pytest.raises(CredentialError, match="no SAS token from"):
                read_text(f"{address}/account/other/x.json")
    assert ["authorization" in one.headers for one in heard] == [True, False]


def test_a_container_without_a_token_is_told(storage: Blobs) -> None:
    with pytest.raises(CredentialError, match=r"no SAS token from .*/token/account/other.*404"):
        read_text(f"{storage.address}/account/other/x.json")


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://acc.blob.core.windows.net/con/a/b.tif", ("acc", "con")),
        ("http://127.0.0.1:10000/acc/con/b.tif", ("acc", "con")),
    ],
)
def test_account_and_container_of_a_blob(href: str, expected: tuple[str, str]) -> None:
    assert sas.container_of(href) == expected


# --- functions of one's own


def test_a_function_signs_its_addresses(storage: Blobs, person: Person, tmp_path: Path) -> None:
    person.credentials()
    storage.tokens.append("MINE")
    signing.register_signer(f"{storage.address}/account", lambda href: f"{href}?sig=MINE")
    assert signing.signed("https://other.example.org/x") == "https://other.example.org/x"
    assert signing.signed(address(storage) + "?v=1") == address(storage) + "?v=1"
    assert copy_catalog(address(storage), tmp_path / "target").failed == ()
    signing.register_signer(f"{storage.address}/account", None)
    with pytest.raises(DataError, match="403"):
        open_catalog(address(storage))


def test_workers_get_the_functions_that_were_registered(
    storage: Blobs, person: Person, tmp_path: Path
) -> None:
    from rsdat.catalog.copy_workers import copy_here

    person.credentials()
    storage.tokens.append("MINE")
    mine = ((f"{storage.address}/account", lambda href: f"{href}?sig=MINE"),)
    done = copy_here(address(storage), str(tmp_path / "x.json"), (), mine)
    assert json.loads((tmp_path / "x.json").read_text())["id"] == "top"
    assert "MINE" not in repr(done)


def _fails(href: str) -> str:
    raise RuntimeError(f"{href}?sig=HALF-MADE")


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        (lambda href: "https://evil.example.org/?sig=HALF-MADE", "gives another address"),
        (lambda href: href + "x?sig=HALF-MADE", "gives another address"),
        (_fails, "its signer failed"),
    ],
)
def test_a_signer_that_fails_or_leads_elsewhere_is_told_without_its_words(
    signer: Any, words: str, person: Person
) -> None:
    signing.register_signer("data.example.org", signer)
    with pytest.raises(CredentialError, match=words) as caught:
        signing.signed("https://data.example.org/x.tif")
    assert "HALF-MADE" not in str(caught.value)


def test_a_pattern_for_every_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="every host"):
        signing.register_signer("*", lambda href: href)


def test_packages_offer_signers_by_an_entry_point(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        name = "mine"

        def load(self) -> Any:
            return {"data.example.org": lambda href: f"{href}?sig=OFFERED"}

    monkeypatch.setattr(signing, "entry_points", lambda group: [Entry()])
    signing._offered.cache_clear()
    try:
        assert signing.signed("https://data.example.org/x").endswith("?sig=OFFERED")
    finally:
        signing._offered.cache_clear()


# --- a login that redirects lead to


@pytest.fixture
def earthdata(tmp_path: Path, person: Person) -> Iterator[Archive]:
    directory = tmp_path / "archive"
    write(directory / "x.json", {"a": 1})
    raster(directory / "red.tif")
    person.secret("netrc", "machine 127.0.0.1 login anna password WORD\n")
    with archive(directory, "anna", "WORD") as found:
        yield found


def configured(person: Person, earthdata: Archive, how: str) -> None:
    keys: dict[str, Any] = {"netrc": "~/netrc"}
    if how == "password":
        person.secret("password", "WORD")
        keys = {"username": "anna", "password_file": "~/password"}
    person.credentials(**{earthdata.data: {**keys, "login": earthdata.login}})


@pytest.mark.parametrize("how", ["netrc", "password"])
def test_the_login_gets_the_password_and_the_data_host_a_cookie(
    earthdata: Archive, person: Person, how: str
) -> None:
    configured(person, earthdata, how)
    assert json.loads(read_text(f"{earthdata.data}/x.json")) == {"a": 1}
    found = open_raster(f"{earthdata.data}/red.tif")
    assert int(get_asset(found, "red").sum()) == 32 * 16
    assert earthdata.to_login
    assert all("authorization" not in asked.headers for asked in earthdata.to_data)


def open_raster(href: str) -> Any:
    import pystac

    return pystac.Item.from_dict({**item("i"), "assets": {"red": {"href": href}}})


def test_a_wrong_password_is_told_without_it(earthdata: Archive, person: Person) -> None:
    person.secret("netrc", "machine 127.0.0.1 login anna password WRONG\n")
    configured(person, earthdata, "netrc")
    with pytest.raises(DataError, match="401") as caught:
        read_text(f"{earthdata.data}/x.json")
    assert "WRONG" not in str(caught.value)


def test_a_login_without_anybody_to_log_in_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"login.*needs 'netrc'"):
        Credential.from_options(login="https://login.example.org")


def test_a_token_goes_to_the_archive_and_not_to_its_login(
    earthdata: Archive, person: Person
) -> None:
    person.secret("token", "BEARER")
    keys = {"token_file": "~/token", "login": earthdata.login}
    person.credentials(**{earthdata.data: keys})
    with pytest.raises(DataError, match="401"):
        read_text(f"{earthdata.data}/x.json")
    assert earthdata.to_data[0].headers["authorization"] == "Bearer BEARER"
    assert all("authorization" not in asked.headers for asked in earthdata.to_login)
