"""A wire that can be cut: what goes between a bank and its coordinator passes here."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio


@dataclass
class Wire:
    """Listens on a port of its own and passes on what comes, until it is cut; then who dials again gets a new one.

    broken: while it is set, connections are closed at once. silent: a cut is not seen at the far end.
    """

    port: Callable[[], int]  # where it leads to
    broken: bool = False
    silent: bool = False
    cuts: int = 0
    _scopes: set[trio.CancelScope] = field(default_factory=set)
    _far: list[trio.SocketStream] = field(default_factory=list)

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listener.socket.getsockname()[1])
        try:
            await trio.serve_listeners(self._pass_on, [listener])
        finally:
            for far in self._far:
                far.socket.close()

    def cut(self) -> None:
        self.cuts += 1
        for scope in self._scopes:
            scope.cancel()

    async def _pass_on(self, near: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if not self.broken:
                    await self._connect(near, scope)
            except OSError:
                pass  # nobody is there yet
            finally:
                self._scopes.discard(scope)
                near.socket.close()

    async def _connect(self, near: trio.SocketStream, scope: trio.CancelScope) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", self.port())
        self._far.append(far)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_copy, near, far, scope)
                nursery.start_soon(_copy, far, near, scope)
        finally:
            if not self.silent:
                far.socket.close()


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        while data := await source.receive_some():
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()
