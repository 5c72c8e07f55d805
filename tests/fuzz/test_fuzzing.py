"""The fuzzed targets as tests: what was found once, a bounded run of each with a fixed seed; faults are found."""

import dataclasses
import inspect
import subprocess
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from textwrap import dedent
from typing import Any

import fuzz_connections
import fuzz_conversations
import fuzz_machines
import fuzz_plain
import msgpack
import pytest
from fuzz_findings import Findings, kept_in, where
from fuzz_mutations import JSON, MSGPACK, TOML, of_blocks, of_bytes, of_trees
from fuzz_remembered import MEMORY
from fuzz_run import Limit, run_plain
from fuzz_target import CORPUS, Bytes, Target, blocks, require
from fuzz_targets import find, matching
from hypothesis import given
from hypothesis import strategies as st
from sessions import bounded

from net.control import CONTROL, Resumed
from net.events import Happened
from net.framing import Kind
from protocols.errors import DropReason, PeerMisbehaved
from protocols.machine import Aggregate, Finished
from protocols.messages import CODEC
from protocols.wire import Codec

HERE = Path(__file__).parent
TARGETS = matching("*")
KEPT = [(target, path) for target in TARGETS for path in target.kept]
FAST = [target for target in TARGETS if target.share >= 200 and target.name != "kept-snapshot"]
every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
every_fast_one = pytest.mark.parametrize("target", FAST, ids=lambda target: target.name)

ROUNDS = 4  # of so many times its share of inputs a test run has each target


def play(inputs: Sequence[bytes], target: Target) -> None:
    for data in inputs:
        target.one_input(data)


def require_nothing_found(target: Target, work: Path, inputs: int) -> None:
    ran = run_plain(target, work, Limit(inputs=inputs))
    notes = "\n".join(path.read_text() for path in (work / "findings").rglob("*.txt"))
    assert ran.inputs == inputs
    assert not ran.findings, notes


@pytest.mark.parametrize(("target", "path"), [pytest.param(*one, id=f"{one[0].name}/{one[1].name}") for one in KEPT])
def test_what_was_a_finding_once_is_none_now(target: Target, path: Path) -> None:
    target.one_input(path.read_bytes())


def test_every_finding_that_is_kept_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= {target.name for target in TARGETS}
    assert len(KEPT) >= 15


@every_fast_one
@bounded(20)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_as_they_should(target: Target, data: bytes) -> None:
    target.one_input(data)


@pytest.mark.slow
@every_target
def test_a_bounded_run_finds_nothing(target: Target, tmp_path: Path) -> None:
    require_nothing_found(target, tmp_path, max(ROUNDS * target.share, 20))


# What is fuzzed reaches something


@pytest.mark.slow
def test_seeds_of_a_wire_are_messages_of_every_kind() -> None:
    for name in ("secagg", "secagg+", "mesh", "committee", "lightsecagg", "epoch", "control"):
        target = find(f"wire-{name}")
        codec: Codec = target.one_input.args[0]  # type: ignore[attr-defined]
        found = {type(codec.decode(data)).__name__ for data in target.seeds()}
        assert codec._kinds.keys() - found <= {"Abort", "Result"}, name


@pytest.mark.slow
@pytest.mark.parametrize("name", [target.name for target in matching("alone-*")])
def test_a_machine_alone_takes_much_of_what_it_is_shown_and_comes_to_sums(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums, taken = [0], [0]

    def count_sum(_recording: Any, machine: Any) -> None:
        sums[0] += isinstance(machine.outcome, Finished)

    def count_taken(_case: Any, _envelopes: Any) -> None:
        taken[0] += 1

    monkeypatch.setattr(fuzz_machines, "require_exact", count_sum)
    monkeypatch.setattr(fuzz_machines, "require_sendable", count_taken)
    target = find(name)
    play(target.seeds(), target)
    assert sums[0] > 1
    assert taken[0] > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz_connections.COLLECTED)
def test_a_member_whose_connection_breaks_at_any_point_is_in_the_sum_again_and_one_that_is_gone_in_none(
    name: str,
) -> None:
    steps = len(fuzz_connections.own(name))
    (whole, *rest) = [fuzz_connections.collected(name, data) for data in find(f"connection-{name}").seeds()]
    back, early = rest[: steps + 1], rest[steps + 1]
    assert whole.aggregates[0].included == frozenset(range(5))
    assert early.aggregates[0].included == fuzz_connections.OTHERS
    assert all(session.aggregates[0].included == frozenset(range(5)) for session in back)
    assert sum(control(session, Resumed) for session in back) >= steps - 1


def control(session: fuzz_connections.Collected, kind: type) -> bool:
    return any(isinstance(CONTROL.decode(body), kind) for _, frame, body in session.heard if frame is Kind.CONTROL)


@pytest.mark.slow
def test_a_party_whose_coordinator_is_honest_goes_to_the_end_and_comes_back_where_it_is_cut_or_killed() -> None:
    whole, *rest = map(fuzz_conversations.conversed, find("conversation").seeds()[:22])
    assert [len(one.included) for one in whole.workload.aggregates] == [5, 5]
    assert whole.events[-1].what is Happened.FINISHED
    assert {len(one.included) for one in rest[1].workload.aggregates + rest[2].workload.aggregates} == {4}
    assert sum(bool(one.workload.aggregates) for one in rest) >= len(rest) - 1  # new keys where none had left
    assert sum(any(event.what is Happened.RESUMED for event in one.events) for one in rest) >= 12


@pytest.mark.slow
def test_the_same_bytes_on_connections_have_the_same_result_whatever_was_played_before() -> None:
    inputs = list(fuzz_plain.inputs(find("connection-secagg-active"), 40))[-12:]
    told = list(fuzz_plain.inputs(find("conversation"), 50))[-12:]
    traces = [_traces(inputs, told), _traces(inputs[::-1], told[::-1])]
    assert traces[0] == traces[1]
    assert len({repr(trace) for trace in traces[0].values()}) > 15


def _traces(inputs: Sequence[bytes], told: Sequence[bytes]) -> dict[Any, Any]:
    MEMORY.forget()
    sessions = {data: fuzz_connections.collected("secagg-active", data) for data in inputs}
    conversations = {data: fuzz_conversations.conversed(data) for data in told}
    return {("member", data): (one.outcome.__class__, one.heard) for data, one in sessions.items()} | {
        ("party", data): (one.ended, one.heard, one.events) for data, one in conversations.items()
    }


# A fault is found


def planted(data: bytes) -> None:
    message = CODEC.decode(data) if data.startswith(b"\x93\x01\xa5Abort") else None
    require(message is None or message.accused is None, "accuses somebody")


@pytest.mark.slow
def test_a_fault_is_counted_kept_and_does_not_end_the_run(tmp_path: Path) -> None:
    ran = run_plain(dataclasses.replace(find("wire-secagg"), one_input=planted), tmp_path, Limit(inputs=400))
    kept = kept_in(tmp_path / "findings" / "wire-secagg")
    assert ran.inputs == 400
    assert ran.findings == len(kept) >= 1
    for path in kept:
        with pytest.raises(Exception):  # noqa: B017  # the planted one, or WireError
            planted(path.read_bytes())
        assert "Traceback" in path.with_suffix(".txt").read_text()


def test_two_faults_of_one_line_are_one_finding(tmp_path: Path) -> None:
    def fail(data: bytes) -> None:
        raise ValueError(data)

    findings = Findings(tmp_path)
    watched = findings.watched(fail)
    watched(b"1")
    watched(b"2")
    assert list(findings.by_place.values()) == [2]
    assert [path.read_bytes() for path in kept_in(tmp_path)] == [b"1"]


@pytest.mark.slow
def test_a_refusal_that_leaves_a_trace_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from protocols.secagg import Server

    def forgetful(self: Server, sender: int, message: object) -> None:
        self._state.confirmations[sender] = b"noted"  # type: ignore[index]
        raise PeerMisbehaved(sender, DropReason.UNEXPECTED, "too late")  # type: ignore[arg-type]

    monkeypatch.setattr(Server, "_take", forgetful)
    target = find("alone-secagg-active")
    with pytest.raises(AssertionError, match="a call that failed changed the machine"):
        play(target.seeds(), target)


@pytest.mark.slow
def test_a_wrong_sum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from protocols.secagg import Server

    right = Server._end

    def wrong(self: Server, outcome: object) -> object:
        if isinstance(outcome, Finished):
            aggregate = outcome.aggregate
            shifted = self._params.spec.field.add(aggregate.vector, aggregate.vector)
            outcome = Finished(Aggregate(shifted, aggregate.included))
        return right(self, outcome)  # type: ignore[arg-type]

    monkeypatch.setattr(Server, "_end", wrong)
    for name in ("alone-secagg-active", "session-secagg-active"):
        target = find(name)
        with pytest.raises((AssertionError, ExceptionGroup)) as caught:
            play(target.seeds(), target)
        assert where(caught.value).startswith("AssertionError"), name


def replace_in(path: str, line: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of a module's method is another one."""
    module, name, method = path.rsplit(".", 2)
    kind = getattr(import_module(module), name)
    source = dedent(inspect.getsource(getattr(kind, method)))
    assert source.count(line) == 1
    made: dict[str, Any] = {}
    exec(source.replace(line, by), vars(import_module(module)) | {"__class__": kind}, made)
    monkeypatch.setattr(kind, method, made[method])


FAULTS = {
    "a message of another session is taken": (
        "connection-secagg-active", "net.collecting.Collecting._handle", "Sent(party, peer, self._number)",
        "Sent(party, peer)", "not sent to this session",
    ),
    "a masked input need not be an upload": (
        "connection-secagg-active", "net.collecting.Collecting._receive", "is not sent.uploaded:",
        "is None:", "not sent to this session",
    ),
    "nobody waits for a grant": (
        "conversation", "net.contributing.Contributing._go_on", "if frame.kind == Kind.UPLOAD:", "if False:",
        "an upload that nobody granted",
    ),
    "the ledger is not written again": (
        "conversation", "net.answered.Answered.keep", "self._keeper.write(ledger, last)",
        "self._last or self._keeper.write(ledger, last)", "in one session",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_whoever_drives_a_session_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, path, line, by, text = FAULTS[fault]
    target = find(name)
    replace_in(path, line, by, monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)) as caught:
        play(target.seeds(), target)
    assert text in "".join(traceback.format_exception(caught.value))


# The engine


@pytest.mark.slow
def test_the_same_seed_gives_the_same_inputs_and_another_one_others() -> None:
    target = find("wire-mesh")
    runs = [list(fuzz_plain.inputs(target, 200, seed)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) > 150


def test_what_is_changed_in_a_tree_is_a_tree_again() -> None:
    for form, data in (
        (MSGPACK, msgpack.packb([1, "Abort", ["stopped", [1, 2, b"x"]]])),
        (TOML, b'a = 1\nb = [1, "x"]\n[c]\nd = true\n'),
        (JSON, b'{"a":[1,{"b":null}]}'),
    ):
        mutate, chance = of_trees([data], form), Random(3)
        changed = [mutate(data, chance) for _ in range(100)]
        assert all(form.parse(one) is not None or one == data for one in changed)
        assert len(set(changed)) > 30


def test_blocks_stay_whole_and_what_stands_before_them_stays() -> None:
    mutate, chance, data = of_blocks(4, behind=2), Random(3), b"ab" + bytes(range(40))
    for _ in range(50):
        changed = mutate(data, chance)
        assert changed[:2] == b"ab"
        assert len(changed) % 4 == 2


def test_bytes_are_changed_and_words_put_in() -> None:
    chance = Random(3)
    assert any(b"word" in of_bytes([b"word"])(b"", chance) for _ in range(50))
    assert any(of_bytes([])(b"abc", chance) != b"abc" for _ in range(50))


def test_choices_come_from_bytes_and_are_the_first_at_their_end() -> None:
    data = Bytes(b"\x05\x01\x01\x07")
    assert (data.randrange(4), data.randrange(1000), data.left) == (1, 257, 1)
    assert data.choice("abcdefgh") == "h"
    assert data.choice("ab") == "a"
    assert [one.rest() for one in blocks(Bytes(b"abcde"), 2, 2)] == [b"ab", b"cd"]


@pytest.mark.slow
def test_the_command_prints_a_table_and_refuses_to_bury_findings(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE), "wire-control", "value-p*", "--inputs", "3000", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "| target | inputs | a second | covered | findings |"
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| `wire-control`", "| `value-paths`", "| all"]
    assert lines[4].startswith("| all | 3,000 | ")
    (tmp_path / "findings" / "wire-control").mkdir(parents=True)
    (tmp_path / "findings" / "wire-control" / "one").write_bytes(b"")
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2
    assert "findings holds what an earlier run found" in again.stderr
