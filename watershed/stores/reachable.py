"""Whether a server is there at all, found out before a client that would wait for it is made."""

from __future__ import annotations

import socket

CONNECT_TIMEOUT_S = 1.0


def listens(address: str) -> bool:
    """Whether something accepts connections at ``host:port``; it need not answer them."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
