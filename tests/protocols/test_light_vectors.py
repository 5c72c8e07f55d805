"""`tests/vectors/lightsecagg.json`: real machines replay it. That it is made again the same, `test_vectors.py` says."""

from test_vectors import Replay, load, require_every_step

from protocols.lightsecagg import Client, Server
from protocols.lightsecagg.messages import CODEC, Message

NAME = "lightsecagg.json"


class LightReplay(Replay):
    codec = CODEC
    client_of = Client
    server_of = Server


def test_real_machines_say_in_every_step_exactly_the_bytes_of_the_vector() -> None:
    require_every_step(LightReplay(load(NAME)))


def test_the_sum_of_the_vector_is_that_of_the_inputs_that_it_includes() -> None:
    document = load(NAME)
    modulus, aggregate = document["session"]["modulus"], document["outcomes"][0]
    assert aggregate["included"] == [0, 1, 2, 3]
    inputs = [one["input"] for one in document["parties"][:4]]
    assert [sum(column) % modulus for column in zip(*inputs, strict=True)] == aggregate["sum"]


def test_the_vector_holds_every_message_and_for_each_what_is_refused() -> None:
    document = load(NAME)
    speech = {kind.__name__ for kind in Message.__args__} - {"Abort"}
    assert {message["class"] for message in document["messages"]} == speech
    refused = [one for one in document["operations"] if not one.get("success", True)]
    spoiled = {
        type(CODEC.decode(bytes.fromhex(one["bytes"]))).__name__ for one in refused if one["error"] != "WireError"
    }
    assert spoiled >= speech
    assert {one["error"] for one in refused} == {"WireError", "PeerMisbehaved"}
