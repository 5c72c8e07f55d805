"""Nothing of a whole session over real TLS tells a secret: no log line, no event, no error, no file beside the keys."""

import logging
import sys
from contextlib import suppress

import pytest
from powers import FIELD, LENGTH
from secret_forms import forms

from mpc.randomness import SystemRandomness

pytestmark = pytest.mark.slow

LEAST = 16  # bytes: anything shorter may be in a file by chance


def shapes(secret):
    """What these bytes look like in a file, and in a text."""
    return [secret, *(text.encode() for text in forms(secret))]


def told(secrets, contents):
    everything = b"\n".join(contents)
    return [shape for secret in secrets for shape in shapes(secret) if shape in everything]


@pytest.fixture
def drawn(monkeypatch):
    """All that the machines drew. What their drivers draw is public, or a salt, of which the journal has a test."""
    secrets, draw = set(), SystemRandomness.bytes

    def noted(rand, count):
        found = draw(rand, count)
        if count >= LEAST and sys._getframe(1).f_globals["__name__"].startswith(("mpc.", "protocols.")):
            secrets.add(found)
        return found

    monkeypatch.setattr(SystemRandomness, "bytes", noted)
    return secrets


class Files:
    """What stood in the files of a folder, whenever somebody was about to say something. Key files are secrets."""

    def __init__(self, folder):
        self.contents, self.journals, self._folder = set(), 0, folder

    def read(self, *_):
        for path in self._folder.iterdir():
            if path.suffix != ".key" and path.is_file():
                with suppress(FileNotFoundError):  # it was replaced just now
                    self._note(path, path.read_bytes())

    def _note(self, path, content):
        self.contents.add(content)
        self.journals += path.suffix == ".journal" and bool(content)


@pytest.mark.parametrize("protocol", ["secagg", "secagg+", "lightsecagg"])
async def test_neither_logs_nor_events_nor_files_of_a_session_tell_a_secret(
    loopback, make_keys, drawn, caplog, protocol
):
    caplog.set_level(logging.DEBUG)
    talk = loopback(protocol=protocol)
    files = Files(talk.folder)
    for bank in talk.banks[:2]:
        bank.before_send = files.read
    talk.banks[4].kill_at = "MaskedInput"
    await talk.run()
    files.read()
    said = [caplog.text, repr(talk.reports), *(repr(bank.events) + repr(bank.error) for bank in talk.banks)]
    assert talk.reports[0].included == {0, 1, 2, 3}
    assert files.journals > 4
    assert "bank-4" in caplog.text
    keys = [make_keys(name) for name in ("coordinator", *(f"bank-{place}" for place in range(5)))]
    secrets = drawn | {key.identity.raw for key in keys} | {key.tls_root.raw for key in keys}
    secrets |= {FIELD.pack(FIELD.vector([2**place] * LENGTH)) for place in range(5)}
    assert len(drawn) > 5
    everything = {text.encode() for text in said} | files.contents
    assert told(secrets, everything) == []
    for leak in secrets:  # and each would be found
        assert told({leak}, everything | {b"key = " + repr(leak).encode()})
        assert told({leak}, everything | {b"\0" + leak + b"\0"})
