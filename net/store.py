"""What a process keeps on disk: key files that only their owner reads, and payloads that are whole or not there."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from mpc.keys import KeyRefused, SigningKey
from mpc.randomness import Randomness
from net.errors import KeyFileError, NetError, TlsError
from net.tls import RootSecret
from protocols.tables import read_tables

OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


@dataclass(frozen=True, slots=True)
class Keys:
    """The two secrets of a member: its identity and the key of its TLS root. They share no label and no use."""

    identity: SigningKey
    tls_root: RootSecret

    @classmethod
    def generate(cls, rand: Randomness) -> "Keys":
        return cls(SigningKey.generate(rand), RootSecret.generate(rand))


def write_keys(path: Path, keys: Keys) -> None:
    """A new file with mode 0600. Raises KeyFileError when there is one already: an identity is not overwritten."""
    text = f'identity = "{keys.identity.raw.hex()}"\ntls_root = "{keys.tls_root.raw.hex()}"\n'
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError as exc:
        raise KeyFileError(f"{path}: there is a key file already; move it away first") from exc
    except OSError as exc:
        raise KeyFileError(f"{path}: cannot be written: {exc.strerror}") from exc
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_keys(path: Path) -> Keys:
    """Raises KeyFileError: missing, readable by others, or damaged."""
    try:
        with path.open("rb") as file:
            _require_owner_only(path, os.fstat(file.fileno()).st_mode)
            table = read_tables(file.read())
    except OSError as exc:
        raise KeyFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise KeyFileError(f"{path}: not a key file") from exc
    try:
        return Keys(
            SigningKey.from_bytes(bytes.fromhex(table["identity"])), RootSecret(bytes.fromhex(table["tls_root"]))
        )
    except (KeyError, TypeError, ValueError, KeyRefused, TlsError) as exc:
        raise KeyFileError(f"{path}: not a key file: identity and tls_root are 64 hexadecimal digits each") from exc


def _require_owner_only(path: Path, mode: int) -> None:
    if os.name == "posix" and stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path}: others may read this key (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replaces the file: after a crash at any moment it holds the old bytes or the new, never a part.

    mode: who may read it; set before the file has its name, so that no link can turn it on another file. Raises
    NetError when it cannot be written; the old bytes are still there then.
    """
    try:
        descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            _fill(descriptor, data, mode)
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
        sync_folder(path.parent)
    except OSError as exc:
        raise NetError(f"{path}: cannot be written: {exc.strerror}") from exc


def _fill(descriptor: int, data: bytes, mode: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        if os.name == "posix":
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """A new name, or a rename, is on disk only when its folder is. Raises OSError."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(file: IO[bytes], data: bytes) -> None:
    """To a file without a buffer, which may take less at a time. Raises OSError."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += file.write(view[done:])


def read_payload(path: Path) -> bytes | None:
    """The stored payload, or None where none was stored yet."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise NetError(f"{path}: cannot be read: {exc.strerror}") from exc
