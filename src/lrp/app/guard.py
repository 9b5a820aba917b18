"""Which requests the app answers: those of its own page on this machine."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Server = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api/"
ROUTES = (
    *("/assets/", "/static/", "/theme.css", "/favicon.ico", "/config"),
    *(API + name for name in ("queue/join", "queue/data", "upload", "heartbeat/", "startup-events", "info")),
)
"""Where the page asks; gradio has more (proxies, streams, editors of the page), which this app has no use for."""
FILE = API + "file="
"""Where uploads and reports are fetched; gradio would also fetch any address of the network that is named there."""
MAX_QUESTION = 2**20
"""The most bytes of a question; files come by ``upload``, which has a limit of its own."""

HEADERS = {
    b"content-security-policy": b"default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    b"style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}
"""Sent with every answer: the page itself may ask nobody else either."""


class Guard:
    """An ASGI application before another one.

    Args:
        server: what answers the requests that pass.
        port: where it listens.
        uploads: the folder of uploaded files; a question may name no other file.
    """

    def __init__(self, server: Server, port: int, uploads: Path) -> None:
        self.server, self.uploads = server, uploads.resolve()
        self.hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self.origins = {b"http://" + host for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.server(scope, receive, send)
            return
        if scope["type"] != "http" or not self.ours(scope):
            await refuse(send)
            return
        if scope["path"] == API + "queue/join":
            body = await whole(receive)
            if body is None or not self.harmless(body):
                await refuse(send)
                return
            receive = replayed(body, receive)
        await self.server(scope, receive, guarded(send))

    def ours(self, scope: Scope) -> bool:
        """Whether a request comes from the page: the host it names, the page that sent it, where it goes."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts, origins = headers.get(b"host", []), headers.get(b"origin", [])
        here = len(hosts) == 1 and hosts[0] in self.hosts and all(origin in self.origins for origin in origins)
        path = scope["path"]
        if path.startswith(FILE):
            return here and self.uploaded(path.removeprefix(FILE))
        return here and (path == "/" or path.startswith(ROUTES)) and ".." not in path

    def uploaded(self, path: Any) -> bool:
        """Whether this is the path of a file in the folder of uploads; no address is."""
        if not isinstance(path, str) or "\0" in path or not Path(path).is_absolute():
            return False
        return Path(path).resolve().is_relative_to(self.uploads)

    def harmless(self, body: bytes) -> bool:
        """Whether all files that a question names were uploaded, so that it reads no other and fetches none."""
        try:
            question = json.loads(body)
        except ValueError:
            return False
        return all(map(self.uploaded, paths(question)))


def paths(value: Any) -> Iterator[Any]:
    """Yield what stands under the key ``path`` anywhere."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "path":
                yield item
            else:
                yield from paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item)


async def whole(receive: Receive) -> bytes | None:
    """Return the body of a request, None if it is too long."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_QUESTION:
            return None
    return body


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once more, and then what follows."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return first.pop() if first else await receive()

    return again


def guarded(send: Send) -> Send:
    """Return a `send` that adds `HEADERS`."""

    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            others = [(name, value) for name, value in message.get("headers", []) if name.lower() not in HEADERS]
            message = {**message, "headers": [*others, *HEADERS.items()]}
        await send(message)

    return with_headers


async def refuse(send: Send) -> None:
    """Answer 403."""
    body = b"This app answers its own page on this machine alone.\n"
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
