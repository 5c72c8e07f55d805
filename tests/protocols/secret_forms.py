"""What secret bytes look like in a text."""

import base64


def forms(secret: bytes) -> set[str]:
    """Each cut to where no neighbour changes it."""
    return {
        secret.hex(), secret.hex().upper(), repr(secret)[2:-1], repr(list(secret))[1:-1],
        base64.b64encode(secret[: len(secret) // 3 * 3]).decode(),
        str(int.from_bytes(secret, "big")), str(int.from_bytes(secret, "little")),
    }  # fmt: skip
