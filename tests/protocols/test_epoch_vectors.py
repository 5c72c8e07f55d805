"""`tests/vectors/epoch.json`: real machines replay both sessions of it, the second from what the first left behind."""

from functools import cache
from typing import Any

import pytest
from test_vectors import Replay, load, require_every_step

from protocols.epoch import Client, Server
from protocols.epoch.messages import CODEC, Message
from protocols.errors import SERVER, PartyId
from protocols.session import SessionParams

SPEECH = {kind.__name__ for kind in Message.__args__} - {"Abort"}


class EpochReplay(Replay):
    """One session, after another one or none."""

    codec = CODEC

    def __init__(self, document: dict[str, Any], before: "EpochReplay | None" = None) -> None:
        self._before = {} if before is None else before.machines
        super().__init__(document)

    def _server(self, params: SessionParams, **given: Any) -> Any:
        before = self._before.get(SERVER)
        return Server(params, epoch=before.epoch if before else None, **given)

    def _client(self, me: PartyId, **given: Any) -> Any:
        if before := self._before.get(me):
            given |= {"epoch": before.epoch, "ledger": before.ledger}
        return Client(me, **given)


@cache
def sessions() -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = load("epoch.json")["sessions"]
    return held


@pytest.mark.slow
def test_real_machines_say_in_every_step_of_both_sessions_exactly_the_bytes_of_the_vector() -> None:
    before = None
    for document in sessions():
        before = EpochReplay(document, before)
        require_every_step(before)


def test_the_sums_of_the_vector_are_those_of_the_inputs_that_they_include() -> None:
    for document, left_out in zip(sessions(), (0, 1), strict=True):
        modulus, aggregate = document["session"]["modulus"], document["outcomes"][0]
        inputs = [one["input"] for one in document["parties"] if one["party"] in aggregate["included"]]
        assert [sum(column) % modulus for column in zip(*inputs, strict=True)] == aggregate["sum"]
        assert len(inputs) == len(document["parties"]) - left_out


def test_the_second_session_draws_no_randomness_and_its_keys_are_all_from_the_first() -> None:
    first, second = sessions()
    assert all(one["randomness"] for one in first["parties"])
    assert not any(one["randomness"] for one in second["parties"])


def test_the_vector_holds_every_message_and_for_each_that_is_an_epochs_own_what_is_refused() -> None:
    said = {message["class"] for document in sessions() for message in document["messages"]}
    assert said == SPEECH
    refused = [op for document in sessions() for op in document["operations"] if not op.get("success", True)]
    assert {op["error"] for op in refused} == {"WireError", "PeerMisbehaved"}
    spoiled = {type(CODEC.decode(bytes.fromhex(op["bytes"]))).__name__ for op in refused if op["error"] != "WireError"}
    assert spoiled >= {"AdvertiseKeys", "Roster", "ShareKeys", "RoundStart"}
