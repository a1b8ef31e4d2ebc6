"""Who asks, and what they may: tokens with permissions, passwords, macaroons."""

from __future__ import annotations

import base64
import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiohttp import web

from . import macaroons
from .macaroons import ACTIVITIES, Caveats
from .tree import Refused, join, within

NOTHING = Caveats(activities=frozenset())


@dataclass(frozen=True)
class Principal:
    """A user with what the credential allows; ``user`` is empty for an anonymous request."""

    user: str = ""
    caveats: Caveats = NOTHING
    macaroon: macaroons.Macaroon | None = None

    def real_path(self, path: str) -> str:
        """Where a path of the request lies in the namespace: below the credential's root."""
        return join(self.caveats.root, path)

    def shown_path(self, path: str) -> str:
        root = self.caveats.root
        return path if root == "/" else path[len(root) :] or "/"


class Access:
    """The credentials that the door knows."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.tokens: dict[str, Caveats] = {}
        self.passwords: dict[str, str] = {}
        self.anonymous: frozenset[str] = frozenset()
        self.denied: dict[str, frozenset[str]] = {}
        self._keys: dict[str, bytes] = {}

    def authenticate(self, request: web.Request) -> Principal:
        """The principal of a request; 401 for a credential that is not (or no longer) good."""
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        token = value.strip() if scheme.lower() == "bearer" else request.query.get("authz", "")
        if scheme.lower() == "basic":
            return self._by_password(value)
        if not token:
            user = _by_certificate(request)
            return Principal(user, Caveats(activities=ACTIVITIES if user else self.anonymous))
        principal = self._by_token(token) or self._by_macaroon(token)
        before = principal.caveats.before
        if before is not None and before <= self._now():
            raise Refused(401, "Token has expired")
        addresses = principal.caveats.addresses
        remote = ipaddress.ip_address(request.remote or "127.0.0.1")
        if addresses and not any(
            remote in ipaddress.ip_network(a, strict=False) for a in addresses
        ):
            raise Refused(401, "Token is not valid for this address")
        return principal

    def _by_password(self, value: str) -> Principal:
        user, _, password = base64.b64decode(value).decode().partition(":")
        if not password or self.passwords.get(user) != password:
            raise Refused(401, "Bad user name or password")
        return Principal(user, Caveats())

    def _by_token(self, token: str) -> Principal | None:
        caveats = self.tokens.get(token)
        return Principal(caveats.user or "tester", caveats) if caveats is not None else None

    def _by_macaroon(self, token: str) -> Principal:
        try:
            macaroon = macaroons.parse(token)
            key = self._keys[macaroon.identifier]
            caveats = macaroons.understand(macaroon.caveats)
        except (ValueError, KeyError) as error:
            raise Refused(401, "Bad token") from error
        if not macaroons.genuine(macaroon, key):
            raise Refused(401, "Bad token: wrong signature")
        return Principal(caveats.user, caveats, macaroon)

    def check(self, who: Principal, activity: str, path: str) -> None:
        """Refuse with 401 whoever is nobody, with 403 whoever lacks the permission."""
        status = 403 if who.user else 401
        denied = {a for place, names in self.denied.items() if within(path, place) for a in names}
        if activity not in who.caveats.activities or activity in denied:
            raise Refused(status, f"Permission denied: {activity} on {path}")
        limit = join(who.caveats.root, who.caveats.path)
        # The way to a permitted path may be looked at.
        looks = activity == "READ_METADATA" and within(limit, path)
        if not within(path, limit) and not looks:
            raise Refused(status, f"Permission denied: {activity} on {path}, outside {limit}")

    def make_macaroon(self, who: Principal, caveats: tuple[str, ...]) -> macaroons.Macaroon:
        """A macaroon of what the principal has, with further caveats; ValueError: a bad one."""
        if who.macaroon is not None:
            together = who.macaroon.caveats + caveats
            macaroons.understand(together)
            identifier = who.macaroon.identifier
            return macaroons.make(self._keys[identifier], identifier, together)
        identifier = base64.urlsafe_b64encode(secrets.token_bytes(12)).decode()
        self._keys[identifier] = secrets.token_bytes(32)
        first = (f"iid:{secrets.token_hex(4)}", f"id:1000;1000;{who.user}")
        allowed = who.caveats.activities
        if allowed != ACTIVITIES:
            first += ("activity:" + ",".join(sorted(allowed)),)
        macaroons.understand(first + caveats)
        return macaroons.make(self._keys[identifier], identifier, first + caveats)

    def restrict(self, token: str, **changes: object) -> None:
        """Change what a token allows, or when it ends (``before``)."""
        self.tokens[token] = replace(self.tokens[token], **changes)  # type: ignore[arg-type]


def _by_certificate(request: web.Request) -> str:
    """The user whom a client certificate (or a proxy of it) names; empty without one."""
    certificate = request.get_extra_info("peercert")
    if not certificate:
        return ""
    subject = [value for part in certificate["subject"] for _, value in part]
    return str(subject[0])
