"""Credentials: references to secrets by address, resolved where they are used."""

from rsdat.storage.credentials.credential import Credential
from rsdat.storage.credentials.finding import find
from rsdat.storage.credentials.lifetime import check_lifetime
from rsdat.storage.credentials.tokens import Token, decode, expires, lacks

__all__ = ["Credential", "Token", "check_lifetime", "decode", "expires", "find", "lacks"]
