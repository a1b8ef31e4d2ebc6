"""Answers of servers that keep nothing secret of their requests.

aiohttp keeps a request's headers and address in its answer and in the errors that it makes of it
(``ClientResponseError.request_info``); whoever prints, logs or inspects these shows the secret.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

#: Headers that say who asks.
SECRET = ("Authorization", "Proxy-Authorization", "Cookie")


@lru_cache(maxsize=1)
def response_class() -> Any:
    """The ``response_class`` for an ``aiohttp.ClientSession``."""
    import aiohttp
    from multidict import CIMultiDict, CIMultiDictProxy

    class Response(aiohttp.ClientResponse):
        """An answer whose request shows neither who asked nor an address's signature."""

        def __init__(self, *args: Any, request_info: Any, **given: Any) -> None:
            headers = CIMultiDict(request_info.headers)
            for name in SECRET:
                headers.popall(name, None)
            # The address as it was given: the one that was asked may be signed.
            plain = request_info.real_url
            told = aiohttp.RequestInfo(plain, request_info.method, CIMultiDictProxy(headers), plain)
            super().__init__(*args, request_info=told, **given)

    return Response
