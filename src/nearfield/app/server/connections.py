"""Connections: how many there may be, and when one that keeps others from being served is closed."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 20.0
"""Seconds that a connection may take to send the head of a request, or be silent while a body is awaited."""
CLIENTS = 256
"""Connections at a time; more are told to come again."""

_LOOKS = 10  # at a connection while it is waited for
_OPEN = 40  # files that the server has open beside connections: the space's, uploads, sounds


@dataclass(frozen=True)
class Room:
    """How many connections fit into what the system allows."""

    clients: int
    backlog: int
    """Connections that are taken on in one go; each needs a file before it can be refused."""

    @classmethod
    def of_system(cls) -> "Room":
        """By the number of files that this process may open (`ulimit -n`)."""
        with suppress(ImportError):  # Windows has no such limit
            import resource

            files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if files != resource.RLIM_INFINITY and files < CLIENTS + 2 * 128 + _OPEN:
                backlog = max(1, (files - _OPEN) // 4)
                return cls(max(1, min(CLIENTS, files - _OPEN - 2 * backlog)), backlog)
        return cls(CLIENTS, 128)


class Connection(H11Protocol):
    """One connection. It is closed where its client makes the server wait, or where there is no room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes it on, or closes it at once."""
        super().connection_made(transport)
        if len(self.connections) > int(self.limit_concurrency or CLIENTS) + int(self.config.backlog):
            transport.abort()
            return
        self._since, self._answered, self._heard = self.loop.time(), None, False
        self._look_again()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        self._heard = True
        super().data_received(data)

    def _look_again(self) -> None:
        self.loop.call_later(PATIENCE / _LOOKS, self._look)

    def _look(self) -> None:
        """Bytes of a body renew the patience; those of a head do not, which has to be whole in time."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        now, in_head = self.loop.time(), cycle is None or cycle.response_complete
        is_new, in_body = cycle is not self._answered, not in_head and cycle.more_body
        if is_new or not (in_head or in_body) or (in_body and self._heard):
            self._since = now
        self._answered, self._heard = cycle, False
        if now - self._since > PATIENCE:
            self.transport.abort()
            return
        self._look_again()
