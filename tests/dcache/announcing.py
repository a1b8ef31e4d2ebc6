"""Where the tape interface is announced, and how: the WLCG's discovery document."""

from __future__ import annotations

from typing import Any

from .state import State

API = "/api/v1"
DISCOVERY = "/.well-known/wlcg-tape-rest-api"


def discovery(state: State) -> dict[str, Any]:
    endpoint = {"uri": f"{state.urls['frontend']}{API}/tape", "version": "v1", "metadata": {}}
    return {"sitename": "dcache", "description": "tests", "endpoints": [endpoint]}
