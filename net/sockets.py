"""What both sides set on a TCP connection, and how its other end is called in a log."""

import socket
from contextlib import suppress

import trio

from net.policy import KEEPALIVE_IDLE, KEEPALIVE_INTERVAL


def keep_alive(transport: trio.SocketStream) -> None:
    """A machine that was unplugged is noticed after some minutes, though it sends nothing. Raises OSError."""
    transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", KEEPALIVE_IDLE), ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL)):
        with suppress(AttributeError):  # not every system has it
            transport.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


def host_of(transport: trio.SocketStream) -> str:
    """The address of the other end, without its port; empty where it is gone."""
    try:
        host: str = transport.socket.getpeername()[0]
    except OSError:
        return ""
    return host


def address_of(transport: trio.SocketStream) -> str:
    """host:port of the other end."""
    try:
        host, port, *_ = transport.socket.getpeername()
    except OSError:
        return "an address that is gone"
    return f"{host}:{port}"
