"""Connections of a listening socket: how many there may be, and how long one may take.

They are counted where they are accepted, before TLS and HTTP, so that nothing a client does or leaves undone escapes the count.
Where a new one finds no room, the oldest that has not sent a whole request goes: those that only hold a connection lose it.
"""

import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zeromiss.errors import ZeromissError

BACKLOG = 128  # connections that the kernel keeps until they are accepted; so many are accepted at once
_OWN_FILES = 256  # descriptors for images, the store, rows and libraries
_HEADER, _BODY, _ANSWER = "header", "body", "answer"  # what a connection waits for


class _Connection(socket.socket):
    """An accepted connection: whose it is, what it waits for, since when (monotonic seconds) and for how long at most."""

    address: tuple[Any, ...] = ("", 0)  # of the client
    waits_for = _HEADER
    since = 0.0
    limit_s = 0.0
    within: "Listener | None" = None

    def close(self) -> None:
        """Close it and make room for another."""
        if self.within is not None:
            self.within.forget(self)
        super().close()


class Listener(socket.socket):
    """A listening socket with at most `most` connections, of one client at most `most_per_client`.

    A connection is ended when its request's head has not arrived after `header_s` seconds, when no further request has come
    `idle_s` after an answer, or when a request and its answer take more than `request_s`. All of it happens in the event
    loop's thread.
    """

    def __init__(self, listening: socket.socket, *, most: int, most_per_client: int, header_s: float, idle_s: float, request_s: float) -> None:
        """Take over a listening socket."""
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._most, self._most_per_client = most, most_per_client
        self._header_s, self._idle_s, self._request_s = header_s, idle_s, request_s
        self._open: dict[tuple[Any, ...], _Connection] = {}  # by the client's address and port

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._open)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection. Raises ConnectionAbortedError, which an event loop passes over, where there is no room for it."""
        plain, address = super().accept()
        connection = _Connection(plain.family, plain.type, plain.proto, fileno=plain.detach())
        connection.address, connection.since, connection.limit_s = address[:2], time.monotonic(), self._header_s
        if not self._has_room(address[0]):
            connection.close()
            raise ConnectionAbortedError(f"{address[0]} has no room for another connection")
        connection.within = self
        self._open[connection.address] = connection
        return connection, address

    def sweep(self) -> None:
        """End the connections whose time is over."""
        now = time.monotonic()
        for connection in [one for one in self._open.values() if now - one.since > one.limit_s]:
            self._end(connection)

    def forget(self, connection: _Connection) -> None:
        """Count a connection no more."""
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]

    @contextmanager
    def request(self, address: tuple[Any, ...]) -> Iterator[None]:
        """Mark the connection of a client's address as one whose request is read and answered in this block."""
        self._mark(address, _BODY, self._request_s)
        try:
            yield
        finally:
            self._mark(address, _HEADER, self._idle_s)

    def arrived(self, address: tuple[Any, ...]) -> None:
        """Mark a request as whole: its connection makes room for no other until it is answered."""
        if (connection := self._open.get(address)) is not None:
            connection.waits_for = _ANSWER

    def _mark(self, address: tuple[Any, ...], waits_for: str, limit_s: float) -> None:
        """Write down what a connection waits for from now on."""
        if (connection := self._open.get(address)) is not None:
            connection.waits_for, connection.since, connection.limit_s = waits_for, time.monotonic(), limit_s

    def _has_room(self, client: str) -> bool:
        """Return whether a client may have another connection, for which an idle one is ended where there are too many."""
        held = Counter(client for client, _ in self._open)
        if held[client] >= self._most_per_client:
            return self._end_oldest(client)
        return len(self._open) < self._most or self._end_oldest(held.most_common(1)[0][0])

    def _end_oldest(self, client: str) -> bool:
        """End the oldest connection of a client that has not sent a whole request; return whether there was one."""
        idle = [one for one in self._open.values() if one.address[0] == client and one.waits_for != _ANSWER]
        if idle:
            self._end(min(idle, key=lambda one: one.since))
        return bool(idle)

    def _end(self, connection: _Connection) -> None:
        """Shut a connection down; the event loop sees its end and closes it."""
        self.forget(connection)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Tracked:
    """Middleware that tells the listener of each request: begun, whole, answered."""

    def __init__(self, app: ASGIApp, listener: Listener) -> None:
        """Wrap an application whose connections come from a listener."""
        self._app, self._listener = app, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        client = tuple(scope["client"])

        async def told() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                self._listener.arrived(client)
            return message

        with self._listener.request(client):
            await self._app(scope, told, send)


def allow_files(connections: int) -> None:
    """Raise this process's limit of open files to what so many connections need. Raises ZeromissError where the system allows fewer."""
    needed = connections + 4 * BACKLOG + _OWN_FILES  # of two listeners, each accepts a backlog before those that it ended are closed
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        remedy = f"raise it (ulimit -Hn {needed}, or LimitNOFILE={needed} in a systemd unit), or lower serving.connections"
        raise ZeromissError(f"{connections} connections need {needed} open files, and this process may have {hard}: {remedy}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
