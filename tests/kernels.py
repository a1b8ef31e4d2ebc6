"""Run a notebook in a JupyterLab over its own HTTP and websocket interface, as the page does."""

from __future__ import annotations

import json
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket


@dataclass
class CellResult:
    """What one code cell printed and showed."""

    text: str = ""
    images: list[str] = field(default_factory=list)
    """PNGs, base64."""


class NotebookError(AssertionError):
    """A cell raised."""


class Server:
    """A JupyterLab at a URL with its token, as rsdat printed it."""

    def __init__(self, url: str) -> None:
        self.base, _, self.token = url.partition("lab?token=")

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the JSON of the answer, None for an empty one."""
        request = urllib.request.Request(
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def run_notebook(self, notebook: Path, path: str, *, timeout: float = 240) -> list[CellResult]:
        """Upload a notebook to ``path``, open a kernel for it, and run its cells in order.

        Raises
        ------
        NotebookError
            A cell raised; with the cell and the traceback.
        """
        content = json.loads(notebook.read_text())
        self.request(
            "PUT",
            f"api/contents/{path}",
            {"type": "notebook", "format": "json", "content": content},
        )
        session = self.request(
            "POST",
            "api/sessions",
            {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}},
        )
        try:
            kernel = Kernel(self, session["kernel"]["id"], timeout)
            return [
                kernel.execute("".join(cell["source"]))
                for cell in content["cells"]
                if cell["cell_type"] == "code"
            ]
        finally:
            self.request("DELETE", f"api/sessions/{session['id']}")


class Kernel:
    """A running kernel's channels, multiplexed over one websocket."""

    def __init__(self, server: Server, kernel: str, timeout: float) -> None:
        url = server.base.replace("http://", "ws://") + f"api/kernels/{kernel}/channels"
        self.socket = websocket.create_connection(
            url, header=[f"Authorization: token {server.token}"], timeout=timeout
        )

    def execute(self, code: str) -> CellResult:
        """Run one cell and gather its outputs until the kernel is idle again."""
        identity = uuid.uuid4().hex
        header = {"msg_id": identity, "msg_type": "execute_request", "username": "", "session": "t"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        self.socket.send(
            json.dumps(
                {
                    "header": {**header, "version": "5.3", "date": ""},
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                }
            )
        )
        result = CellResult()
        while True:
            message = json.loads(self.socket.recv())
            if message.get("parent_header", {}).get("msg_id") != identity:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                result.text += content["text"]
            elif kind in ("execute_result", "display_data"):
                result.text += content["data"].get("text/plain", "")
                if "image/png" in content["data"]:
                    result.images.append(content["data"]["image/png"])
            elif kind == "error":
                trace = "\n".join(content["traceback"])
                raise NotebookError(f"in the cell\n{code}\n\n{trace}")
            elif kind == "status" and content["execution_state"] == "idle":
                return result
