"""Credentials for libraries that ask with `requests`: added where a request leaves, and not before.

What is in a request earlier is logged (by pystac-client), and stays in answers and errors.
"""

from __future__ import annotations

from typing import Any

from rsdat.storage.credentials import secrets
from rsdat.storage.credentials.finding import find


def mount(session: Any, retries: Any) -> None:
    """Let a session of `requests` show to each address the credential that is configured for it.

    Redirects, too, are looked up by where they lead.

    Parameters
    ----------
    retries
        As ``max_retries`` of its adapters.
    """
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """Sends requests with the secrets as they are now."""

        def send(self, request: Any, *given: Any, **named: Any) -> Any:
            credential = find(request.url)
            if credential is None:
                return super().send(request, *given, **named)
            asked = request.copy()
            asked.headers.update(credential.headers(request.url))
            if credential.ca_file:
                named["verify"] = secrets.place(credential.ca_file)
            if credential.proxy_file:
                credential.ssl_context()
                named["cert"] = secrets.place(credential.proxy_file)
            answer = super().send(asked, *given, **named)
            answer.request = request
            return answer

    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(max_retries=retries))
