"""What ends before a job does is said before the job starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rsdat.errors import CredentialError
from rsdat.storage.credentials import Credential, certificates, check_lifetime
from tests.storage.certificates import proxy
from tests.storage.secrets import Person, before, macaroon

TONIGHT = datetime.now(UTC) + timedelta(hours=8)


def test_a_token_that_ends_before_the_job(person: Person) -> None:
    credential = Credential.from_options(token_file="~/token")
    person.secret("token", macaroon(before(hours=2)))
    [said] = check_lifetime(credential, TONIGHT)
    assert "the token of ~/token ends on" in said
    person.secret("token", macaroon(before(hours=20)))
    assert check_lifetime(credential, TONIGHT) == []
    person.secret("token", "opaque")
    assert check_lifetime(credential, TONIGHT) == []


def test_what_is_missing_or_over_already(person: Person) -> None:
    credential = Credential.from_options(token_file="~/token")
    [said] = check_lifetime(credential, TONIGHT)
    assert "~/token does not exist" in said
    person.secret("token", macaroon(before(hours=-2)))
    [said] = check_lifetime(credential, TONIGHT)
    assert "expired on" in said
    assert "rsdat data token create" in said


def test_what_is_asked_anew_has_no_end() -> None:
    assert check_lifetime(Credential.from_options(oidc_agent="egi"), TONIGHT) == []


def test_a_proxy(person: Person) -> None:
    credential = Credential.from_options(proxy_file="~/proxy")
    person.secret("proxy", proxy(hours=2))
    [said] = check_lifetime(credential, TONIGHT)
    assert "the certificate of ~/proxy ends on" in said
    assert credential.ssl_context() is credential.ssl_context()
    person.secret("proxy", proxy(hours=20))
    assert check_lifetime(credential, TONIGHT) == []


def test_an_expired_proxy_and_what_is_none(person: Person) -> None:
    credential = Credential.from_options(proxy_file="~/proxy")
    person.secret("proxy", proxy(hours=-1))
    with pytest.raises(CredentialError, match="the certificate of ~/proxy expired on"):
        credential.ssl_context()
    person.secret("proxy", "no certificate")
    with pytest.raises(CredentialError, match="holds no certificate with its key"):
        credential.ssl_context()
    person.secret("proxy", proxy(hours=2), 0o644)
    with pytest.raises(CredentialError, match="everyone on this machine may read"):
        credential.ssl_context()


def test_authorities_to_trust(person: Person) -> None:
    with pytest.raises(CredentialError, match=r"ca_file ~/ca\.pem: No such file"):
        Credential.from_options(ca_file="~/ca.pem").ssl_context()
    person.secret("ca.pem", proxy(hours=2))
    assert Credential.from_options(ca_file="~/ca.pem").ssl_context() is not None
    assert certificates.context(None, "~/") is not None
    person.secret("ca.pem", "nothing")
    with pytest.raises(CredentialError, match="holds no certificates"):
        Credential.from_options(ca_file="~/ca.pem").ssl_context()
