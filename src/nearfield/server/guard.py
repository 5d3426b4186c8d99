"""Access control: hosts, origins, tokens, sizes of bodies, numbers of connections."""

import asyncio
import hmac
import ipaddress
import json
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from nearfield.core.errors import RequestError

# Connections: their largest number, and the timeout of slow ones.

PATIENCE = 20.0
"""Seconds that a connection may take to send the head of a request, or pause while sending a body."""
CLIENTS = 256
"""Largest number of connections at a time; more are rejected with 503."""

_LOOKS = 10  # checks of a connection within its timeout
_OPEN = 40  # open files other than connections: the space's, uploads, sounds


@dataclass(frozen=True)
class Room:
    """The number of connections that the limits of the system allow."""

    clients: int
    backlog: int
    """Connections accepted at once; each needs a file before it can be rejected."""

    @classmethod
    def of_system(cls) -> "Room":
        """From the number of files that this process may open (`ulimit -n`)."""
        with suppress(ImportError):  # Windows has no such limit
            import resource

            files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if files != resource.RLIM_INFINITY and files < CLIENTS + 2 * 128 + _OPEN:
                backlog = max(1, (files - _OPEN) // 4)
                return cls(max(1, min(CLIENTS, files - _OPEN - 2 * backlog)), backlog)
        return cls(CLIENTS, 128)


class Connection(H11Protocol):
    """A connection that is closed if its client is too slow, or if there are too many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts the connection, or closes it at once."""
        super().connection_made(transport)
        if len(self.connections) > int(self.limit_concurrency or CLIENTS) + int(self.config.backlog):
            transport.abort()
            return
        self._since, self._answered, self._received = self.loop.time(), None, False
        self._look_again()

    def data_received(self, data: bytes) -> None:
        """Receives bytes of a request."""
        self._received = True
        super().data_received(data)

    def _look_again(self) -> None:
        self.loop.call_later(PATIENCE / _LOOKS, self._look)

    def _look(self) -> None:
        """Aborts after the timeout. Bytes of a body restart it; the head must be complete within it."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        now, in_head = self.loop.time(), cycle is None or cycle.response_complete
        is_new, in_body = cycle is not self._answered, not in_head and cycle.more_body
        if is_new or not (in_head or in_body) or (in_body and self._received):
            self._since = now
        self._answered, self._received = cycle, False
        if now - self._since > PATIENCE:
            self.transport.abort()
            return
        self._look_again()


# Requests: checks of Host, Origin, token and size of the body, and security headers of answers.
#
# A page of another site can make a browser send requests to this machine. Its requests bear its own Origin,
# or `Sec-Fetch-Site: cross-site`, and are refused, unless that origin was let in by `--allow-origin`; what
# another site may do is to lead to one of the pages, in a window of its own and not in a frame. Where it has
# its own name resolve to this machine (DNS rebinding), the Host that the browser sends is that name, and is
# refused.

COOKIE = "nearfield"

LEAST_TOKEN = 16
"""Signs of a token."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PAGES = ("/", "/watch", "/docs")  # what a link on another site may lead to
_PAUSE = 1.0  # seconds that the answer to a wrong token takes
_HOST = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::(\d+))?")
_ORIGIN = re.compile(r"https?://[^/?#@\s*]+")
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
    )
)
_ALWAYS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_TOO_LONG = "The body is longer than {} bytes. Send a shorter sound, or a part of it."


@dataclass(frozen=True)
class Access:
    """The address of the server, and who has access."""

    host: str = "127.0.0.1"
    """An address of this machine; 0.0.0.0 is all of them."""
    port: int = 8787
    """0 takes a free one."""
    token: str | None = None
    """Required on any address but loopback: sent as `Authorization: Bearer`, or once as `?token=`."""
    origins: tuple[str, ...] = ()
    """Origins (https://host:port) whose scripts may use the API."""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """The value of the cookie that a client gets for the token."""

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise RequestError(
                f"--token: it has {len(self.token)} characters; it needs at least {LEAST_TOKEN}, so that it "
                f"cannot be guessed. Give a longer one, such as {secrets.token_urlsafe(24)}"
            )
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise RequestError(
                    f"--allow-origin: {origin!r} is not an origin. Give scheme, host and port of the page "
                    "without a path, such as https://example.org or http://localhost:3000"
                )
        if self.token is None and not self.is_loopback:
            raise RequestError(
                f"--host: other machines can reach {self.host} and would have access to every clip. "
                "Give --token as well, or listen on 127.0.0.1."
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        return _is_address(self.host) and ipaddress.ip_address(self.host).is_loopback

    def allows_host(self, given: str) -> bool:
        """Whether a Host header names this server.

        With a token any numeric address is accepted: rebinding needs a name, and the cookie is of one host.
        """
        name, port = _split(given)
        if port not in ("", str(self.port)) or not name:
            return False
        known = {self.host.lower(), *_LOOPBACK}
        if self.is_loopback:
            return name in known
        return name in known | {socket.gethostname().lower()} or _is_address(name)

    def knows(self, headers: Headers) -> bool:
        """Whether a request has the token, or the cookie that was set for it."""
        if self.token is None:
            return True
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(sent.strip(), self.token):
            return True
        return _same(_cookie(headers.get("cookie", "")), self.session)


class Guard:
    """Passes allowed requests to the application; answers others with 401, 403 or 413."""

    def __init__(self, app: ASGIApp, access: Access, body_bytes: int) -> None:
        self.app, self.access, self.body_bytes = app, access, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; WebSockets are closed."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        sealed = _sealing(send)
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(sealed, *refusal)
            return
        if headers.get("origin") in self.access.origins:
            sealed = _open_to(headers["origin"], sealed)
            if scope["method"] == "OPTIONS":  # a CORS preflight request
                await _answer(sealed, 200, "Pages of this origin may use the API.")
                return
        if self._brings_token(scope):
            await self._welcome(scope, sealed)
        elif not self.access.knows(headers):
            if "authorization" in headers or b"token=" in scope["query_string"]:
                await asyncio.sleep(_PAUSE)
            await _answer(sealed, 401, "This server needs its token: open the address that it printed.")
        else:
            await self.app(scope, self._counting(receive), sealed)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self.access.allows_host(host):
            return (
                403,
                f"The host {host[:100]!r} is not a name of this server. Open the address that it printed.",
            )
        origin = headers.get("origin")
        is_let_in = origin in self.access.origins
        if origin is not None and not is_let_in and origin != f"{scope['scheme']}://{host}":
            return (
                403,
                f"Requests from other origins are refused. To allow this one: --allow-origin {origin[:100]}",
            )
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if is_foreign and not is_let_in and not _opens_page(scope, headers):
            return 403, "Requests from pages of other sites are refused."
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.body_bytes:
            return 413, _TOO_LONG.format(self.body_bytes)
        return None

    def _brings_token(self, scope: Scope) -> bool:
        sent = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")
        return self.access.token is not None and sent is not None and _same(sent, self.access.token)

    async def _welcome(self, scope: Scope, send: Send) -> None:
        """Sets the cookie and redirects to the same page without the token in its address."""
        kept = [pair for pair in parse_qsl(scope["query_string"].decode("latin-1")) if pair[0] != "token"]
        place = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{urlencode(kept)}" if kept else "")
        cookie = f"{COOKIE}={self.access.session}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"location", place.encode("ascii")), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _counting(self, receive: Receive) -> Receive:
        """Stops reading a body that exceeds the limit, because its stated length may be wrong."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.body_bytes:
                raise HTTPException(413, _TOO_LONG.format(self.body_bytes))
            return message

        return counted


def _sealing(send: Send) -> Send:
    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sealed


def _opens_page(scope: Scope, headers: Headers) -> bool:
    """Whether a browser opens one of the pages as a document."""
    asked = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"), scope["method"]
    return asked == ("navigate", "document", "GET") and scope["path"] in _PAGES


def _open_to(origin: str, send: Send) -> Send:
    """Adds the CORS headers that allow scripts of an origin to read an answer, without cookies."""
    allowed = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-allow-headers": "authorization, content-type, range",
        "access-control-expose-headers": "accept-ranges, content-range",
        "access-control-max-age": "600",
        "vary": "origin",
    }

    async def opened(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(allowed)
        await send(message)

    return opened


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps({"detail": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _split(given: str) -> tuple[str, str]:
    """Name (lower case, without brackets) and port of a Host header; empty if it is invalid."""
    parts = _HOST.fullmatch(given.strip().lower())
    return (parts[1] or parts[2], parts[3] or "") if parts else ("", "")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _cookie(header: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""
