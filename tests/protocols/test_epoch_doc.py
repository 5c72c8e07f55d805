"""docs/protocols/epochs.md names every message of an epoch's own, and no function that is not there."""

import re
from pathlib import Path

from protocols.epoch import Client, Server, dealing
from protocols.epoch.gathering import SetUp

PAGE = Path(__file__).parents[2] / "docs/protocols/epochs.md"
OWNERS = {"Client": Client, "Server": Server, "SetUp": SetUp, "dealing": dealing}


def test_the_page_names_every_message_and_no_function_that_is_not_there() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"`(\w+)`", text))
    assert {"Invitation", "AdvertiseKeys", "Roster", "ShareKeys", "RoundStart", "MaskedInput"} <= named
    functions = re.findall(r"`(Client|Server|SetUp|dealing)\.(\w+)`", text)
    assert len(functions) > 8
    assert [name for owner, name in functions if not hasattr(OWNERS[owner], name)] == []
