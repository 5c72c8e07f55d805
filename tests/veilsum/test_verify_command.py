"""`veilsum verify`: what it says of records that are whole, and the one line on those that are not."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from net.config import load_consortium
from net.records import RecordsFile
from net.store import read_keys
from protocols.errors import SERVER, PartyId
from protocols.evidence import Dispute, Verdict
from protocols.exchange import Exchange
from protocols.machine import Finished
from protocols.messages import CODEC, Round
from protocols.record import START, Head, Record, Summed, dropped, hash_sum
from protocols.secagg import Client, Server
from protocols.session import Terms, VectorSpec
from protocols.transcript import Transcript

ROOT = Path(__file__).parents[2]
NAMES = ("a", "b", "c", "d")


class Kept:
    """Real sessions of the four banks under `original`'s consortium file, and their records in a file."""

    def __init__(self, original, folder: Path) -> None:
        self.agreed = original.consortium
        self.consortium = load_consortium(original.consortium)
        self.identities: dict[PartyId, SigningKey] = {
            PartyId(place): read_keys(original.path(name, f"{name}.key")).identity for place, name in enumerate(NAMES)
        }
        self.coordinator = read_keys(original.path("hub", "hub.key")).identity
        self.path = folder / "model.records"
        self.records: list[Record] = []
        head = START
        for fl_round, vanish in enumerate(
            ({}, {PartyId(3): Round.MASKED_INPUT}, dict.fromkeys(map(PartyId, range(3)), Round.CONFIRM))
        ):
            record = self.hold(fl_round, vanish, head)
            RecordsFile(self.path, self.consortium).append(record, head)
            self.records.append(record)
            head = record.head

    def hold(self, fl_round: int, vanish: dict[PartyId, Round], head: Head) -> Record:
        from powers import FIELD

        subject = self.consortium.subject(digest("model", fl_round), head.digest)
        params = self.consortium.params(subject, VectorSpec(3, FIELD), SystemRandomness().bytes(32))
        members = self.consortium.members_by_id
        server = Server(params, identity=self.coordinator, members=members)
        terms = Terms(subject, members, params.spec, self.consortium.colluding)
        machines = {SERVER: server}
        for party, identity in self.identities.items():
            machines[party] = Client(party, identity=identity, terms=terms, rand=SystemRandomness())
            machines[party].set_input(FIELD.vector([party] * 3))
        Exchange(machines, CODEC, vanish=vanish).run()
        outcome = server.outcome
        ended = outcome
        if isinstance(outcome, Finished):
            ended = Summed(hash_sum(outcome.aggregate, params.spec), digest("model", fl_round + 1))
        return Record(
            head.number + 1, head.digest, bytes(32), fl_round, params, {p: key.raw for p, key in members.items()},
            server.evidence, dropped(server.dropped), ended, Transcript().lines,
        ).signed(self.coordinator)  # fmt: skip

    def rewritten(self, folder: Path, *records: Record) -> Path:
        """Another file, with these in the place of the last ones."""
        path = folder / "other.records"
        shutil.copy(self.path, path)
        with closing(sqlite3.connect(path)) as database, database:
            for record in records:
                database.execute("UPDATE records SET record = ? WHERE number = ?", (record.to_bytes(), record.number))
        return path


@pytest.fixture(scope="session")
def kept(original, tmp_path_factory) -> Kept:
    return Kept(original, tmp_path_factory.mktemp("kept"))


def verified(veilsum, kept, path=None, *more):
    said = veilsum("verify", path or kept.path, "--consortium", kept.agreed, *more)
    assert (said.status, said.err) == (0, ""), said.err
    return said.out.splitlines()


def complaint(veilsum, kept, path, consortium=None):
    said = veilsum("verify", path, "--consortium", consortium or kept.agreed)
    assert (said.status, said.out) == (1, "")
    assert str(path) in said.complaint
    return said.complaint


# Whole


def test_each_record_is_a_line_and_then_it_says_what_they_prove(veilsum, kept):
    lines = verified(veilsum, kept)
    assert lines[:3] == [
        "record 1, round 0: the sum of a, b, c, d; 4 of 4 confirmed the set, 3 are needed",
        "record 2, round 1: the sum of a, b, c; 3 of 4 confirmed the set, 3 are needed; "
        "d lost at masked-input (vanished)",
        "record 3, round 2: no sum (too-few); "
        "a lost at confirm (vanished); b lost at confirm (vanished); c lost at confirm (vanished)",
    ]
    text = "\n".join(lines)
    assert "3 records under consortium, version 1, each bound to the one before it" in text
    assert f"The last is 3, {kept.records[2].digest.hex()}: compare it with another member's." in text
    proves, leaves_open = text.split("It proves:\n")[1].split("\nIt does not prove:\n")
    assert "the coordinator signed each line above: nobody else has changed one, taken one out or put one in" in proves
    assert "before record 2 not even the coordinator has: in it members signed which record came before" in proves
    assert "the members that joined a session signed that they did, for this model and on these terms" in proves
    assert "as many members as stated signed exactly this set, for this session and for no other" in proves
    assert "no other set of those who joined a session can have as many, unless any member signed two" in proves
    assert "that the sum that was published is the sum over this set" in leaves_open
    assert "who was lost and why, and what was disputed: that is the coordinator's word" in leaves_open
    assert "that no record was left out at the end: another member's copy shows it" in leaves_open


def test_one_record_can_be_taken_out_and_verified_by_itself(veilsum, kept, tmp_path):
    out = tmp_path / "two.record"
    verified(veilsum, kept, None, "--record", 2, "--out", out)
    lines = verified(veilsum, kept, out)
    assert lines[0].startswith("record 2, round 1: the sum of a, b, c;")
    text = "\n".join(lines)
    assert "One record under consortium, version 1: whether others stand before or after it is not known." in text
    assert "not even the coordinator" not in text
    assert "left out at the end" not in text


def test_disputes_name_nobody_guilty_and_verdicts_do(veilsum, kept, tmp_path):
    first = kept.records[0]
    said = replace(
        first.evidence,
        disputes=(Dispute(PartyId(0), PartyId(1)),),
        verdicts=(Verdict(PartyId(2), "it revealed another share than the one that it had accepted"),),
    )
    single = tmp_path / "one.record"
    single.write_bytes(replace(first, evidence=said).signed(kept.coordinator).to_bytes())
    text = "\n".join(verified(veilsum, kept, single))
    assert "a dispute: what b holds of a does not fit; whose fault is open" in text
    assert "c broke the protocol: it revealed another share than the one that it had accepted" in text


def test_what_lies_beside_the_chain_is_told_without_what_a_terminal_would_obey(veilsum, kept, tmp_path):
    path = kept.rewritten(tmp_path)
    RecordsFile(path, kept.consortium).contest(b"anything", "two\nlines \x1b[2J")
    text = "\n".join(verified(veilsum, kept, path))
    assert "Beside the chain, contested when it came: two lines  [2J" in text


def test_records_under_other_files_are_counted(veilsum, kept, tmp_path):
    path = kept.rewritten(tmp_path)
    other = replace(kept.consortium, version=2, signatures={})
    record = kept.records[0]
    subject = other.subject(record.params.subject.model)
    moved = replace(record, params=replace(record.params, subject=subject)).signed(kept.coordinator)
    RecordsFile(path, other).append(moved, START)
    text = "\n".join(verified(veilsum, kept, path))
    assert "1 more in this file were made under other consortium files: verify those too." in text


def test_a_session_that_nobody_confirmed_is_the_coordinators_word(veilsum, kept, tmp_path, original):
    """Under a consortium file of the curious variant."""
    from net.config import dump_consortium
    from protocols.session import Variant

    agreed = tmp_path / "curious.toml"
    curious = replace(kept.consortium, variant=Variant.CURIOUS, signatures={})
    agreed.write_text(dump_consortium(curious))
    first = kept.records[0]
    params = curious.params(curious.subject(bytes(32)), first.params.spec, bytes(32))
    server = Server(params, identity=kept.coordinator, members=curious.members_by_id)
    terms = Terms(params.subject, curious.members_by_id, params.spec, 0, variant=Variant.CURIOUS)
    machines = {SERVER: server}
    for party, identity in kept.identities.items():
        machines[party] = Client(party, identity=identity, terms=terms, rand=SystemRandomness())
        machines[party].set_input(params.spec.field.vector([1] * 3))
    Exchange(machines, CODEC).run()
    single = tmp_path / "curious.record"
    record = replace(first, params=params, evidence=server.evidence).signed(kept.coordinator)
    single.write_bytes(record.to_bytes())
    said = veilsum("verify", single, "--consortium", agreed)
    assert said.status == 0
    assert "the sum of a, b, c, d; nobody confirmed the set" in said.out
    assert "over whom the sums were that nobody confirmed: that is the coordinator's word" in said.out
    assert "signed exactly this set" not in said.out


def shape(value):
    """The type of each field, of the first of each list."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return "hex" if isinstance(value, str) and len(value) == 64 else type(value).__name__


def test_the_json_has_the_documented_shape(veilsum, kept, tmp_path):
    section = (ROOT / "docs/json.md").read_text().split("## `veilsum verify --json`")[1].split("\n## ")[0]
    documented = json.loads(section.split("```json")[1].split("```")[0])
    said = veilsum("verify", kept.path, "--consortium", kept.agreed, "--json")
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert "record 3, round 2: no sum" in said.err
    assert found.keys() == documented.keys()
    (example,) = documented["records"]
    for record in found["records"]:
        assert list(record) == list(example)
    second = found["records"][1]
    filled = {key: value for key, value in example.items() if key not in ("disputes", "verdicts", "transcripts")}
    assert {key: shape(second[key]) for key in filled} == {key: shape(value) for key, value in filled.items()}
    for field in (*documented, *example):
        assert f"`{field}`" in section, field
    third = found["records"][2]
    assert third["aborted"] == {"reason": "too-few", "cause": None, "accused": None}
    assert (third["aggregate"], third["next_model"], third["excludes_another_set"]) == (None, None, False)
    assert found["head"] == {"number": 3, "digest": kept.records[2].digest.hex()}
    out = tmp_path / "one.record"
    verified(veilsum, kept, None, "--record", 1, "--out", out)
    single = json.loads(veilsum("verify", out, "--consortium", kept.agreed, "--json").out)
    assert single["head"] is None
    assert single["records"] == found["records"][:1]


# Not whole: one line, status 1


@pytest.mark.parametrize("place", [200, 900, -100, -1])
def test_a_byte_of_a_record_that_was_changed(veilsum, kept, tmp_path, place):
    single = tmp_path / "one.record"
    data = bytearray(kept.records[0].to_bytes())
    data[place] ^= 1
    single.write_bytes(data)
    said = complaint(veilsum, kept, single)
    assert "no record" in said or "signature is wrong" in said or "another consortium file" in said


def test_a_record_in_the_chain_that_was_changed(veilsum, kept, tmp_path):
    path = kept.rewritten(tmp_path, replace(kept.records[1], fl_round=9))
    assert "record 2: its signature is wrong: something in it was changed" in complaint(veilsum, kept, path)


def test_a_record_that_the_coordinator_signed_anew_does_not_bear_the_next_one(veilsum, kept, tmp_path):
    path = kept.rewritten(tmp_path, replace(kept.records[1], fl_round=9).signed(kept.coordinator))
    assert "record 3 does not follow record 2: it names another one" in complaint(veilsum, kept, path)


def test_a_confirmation_that_was_forged(veilsum, kept, tmp_path):
    last = kept.records[1]
    forged = {**last.evidence.confirmations, PartyId(0): kept.identities[PartyId(1)].sign("confirm", bytes(32), b"")}
    lie = replace(last, evidence=replace(last.evidence, confirmations=forged)).signed(kept.coordinator)
    path = kept.rewritten(tmp_path, lie)
    assert "record 2: party 0 did not sign 'confirm' of this session" in complaint(veilsum, kept, path)


def test_a_missing_record(veilsum, kept, tmp_path):
    path = kept.rewritten(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM records WHERE number = 2")
    assert "record 3 where record 2 belongs" in complaint(veilsum, kept, path)


def test_another_consortium_file(veilsum, kept, tmp_path, place):
    other = place.create(["a", "b", "c"], losses=0, out=tmp_path / "other.toml")
    assert other.status == 0
    said = complaint(veilsum, kept, kept.path, tmp_path / "other.toml")
    assert "no record under this consortium file is in it, and 3 under others" in said
    single = tmp_path / "one.record"
    single.write_bytes(kept.records[0].to_bytes())
    assert "made under another consortium file" in complaint(veilsum, kept, single, tmp_path / "other.toml")


@pytest.mark.parametrize("what", ["nothing", "text", "a torn file", "no file"])
def test_what_is_no_file_of_records(veilsum, kept, tmp_path, what):
    path = tmp_path / "model.records"
    if what == "a torn file":
        path.write_bytes(kept.path.read_bytes()[:3000])
    elif what != "no file":
        path.write_bytes(b"" if what == "nothing" else b"a diary")
    said = complaint(veilsum, kept, path)
    assert any(words in said for words in ("no record", "torn", "cannot be read"))


def test_a_record_that_there_is_not(veilsum, kept, tmp_path):
    said = veilsum("verify", kept.path, "--consortium", kept.agreed, "--record", 9, "--out", tmp_path / "nine.record")
    assert said.status == 1
    assert "--record 9: there are records 1 to 3" in said.complaint
    assert not (tmp_path / "nine.record").exists()


@pytest.mark.parametrize("half", [("--record", 1), ("--out", "here")])
def test_one_record_needs_a_place(veilsum, kept, half):
    said = veilsum("verify", kept.path, "--consortium", kept.agreed, *half)
    assert said.status == 2
    assert "--record and --out belong together" in said.complaint


# Real processes


@pytest.mark.slow
def test_after_a_demo_the_coordinator_and_every_bank_hold_the_same_chain(veilsum, tmp_path):
    folder = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-c", "from veilsum.cli import main; main()", "demo", "--banks", "4", "--rounds", "3",
         "--out", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    chains = {}
    for name in (".", "bank-1", "bank-2", "bank-3", "bank-4"):
        said = veilsum(
            "verify", folder / name / "model.records", "--consortium", folder / "consortium.toml", "--json"
        )  # fmt: skip
        assert said.status == 0, said.err
        chains[name] = json.loads(said.out)["records"]
    whole, lost = chains.pop("."), chains.pop("bank-4")
    assert [record["round"] for record in whole] == [0, 1, 2, 3]
    assert [record["u3"] for record in whole[2:]] == [["bank-1", "bank-2", "bank-3"]] * 2
    assert whole[2]["dropped"] == [{"party": "bank-4", "round": "masked-input", "reason": "vanished"}]
    assert all(chain == whole for chain in chains.values())
    assert lost == whole[:2]
    assert shown_on_the_page() == hashes_left_out("\n".join(verified(veilsum, Demo(folder), folder / "model.records")))


def shown_on_the_page() -> str:
    page = (ROOT / "docs/records.md").read_text()
    return hashes_left_out(page.split("```text\n")[1].split("\n```")[0])


def hashes_left_out(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{64}\b", "..", text)


class Demo:
    """What `verified` needs to know of it."""

    def __init__(self, folder: Path) -> None:
        self.agreed, self.path = folder / "consortium.toml", folder / "model.records"


# The proof of a verdict


@pytest.fixture(scope="module")
def convicting(tmp_path_factory):
    """A consortium's file, and a proof against bank-1."""
    from cheats import AccountableRoom, Cheat, Plan, held

    from net.config import dump_consortium
    from protocols.accounts import proof_to_bytes

    folder, room = tmp_path_factory.mktemp("convicting"), AccountableRoom()
    talk = held(room, {PartyId(1): Plan(Cheat.REVEALS_WRONG_SHARE, PartyId(2))})
    (proof,) = talk.server.proofs
    agreed, file = folder / "consortium.toml", folder / "bank-1.proof"
    agreed.write_text(dump_consortium(room.consortium))
    file.write_bytes(proof_to_bytes(proof))
    return agreed, file, proof


def test_a_proof_says_who_cheated_and_how_without_anybodys_word(veilsum, convicting):
    agreed, file, proof = convicting
    said = veilsum("verify", file, "--consortium", agreed)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(
        "bank-1 broke the protocol: it revealed another share than the one that it had accepted\n"
    )
    assert f"it was in session {proof.scene.params.digest.hex()} under banks, version 1" in said.out
    assert "neither the coordinator nor all other members together can have made this up" in said.out
    assert "why: broken software, a damaged disk or a stolen key look the same" in said.out


def test_the_json_of_a_proof_has_the_documented_shape(veilsum, convicting):
    agreed, file, _ = convicting
    section = (ROOT / "docs/json.md").read_text().split("### Of a proof")[1].split("\n## ")[0]
    documented = json.loads(section.split("```json")[1].split("```")[0])
    said = veilsum("verify", file, "--consortium", agreed, "--json")
    found = json.loads(said.out)
    assert list(found) == list(documented)
    assert shape(found) == shape(documented)
    assert (found["cheater"], found["offence"]) == ("bank-1", "wrong-share")


def test_a_proof_that_was_changed_convicts_nobody(veilsum, convicting, tmp_path):
    from protocols.accounts import proof_to_bytes

    agreed, _, proof = convicting
    framing = tmp_path / "framing.proof"
    framing.write_bytes(proof_to_bytes(replace(proof, said=replace(proof.said, holder=PartyId(3)))))
    said = veilsum("verify", framing, "--consortium", agreed)
    assert (said.status, said.out) == (1, "")
    assert f"{framing}: this proves nothing: party 3 did not sign this reveal" in said.complaint


def test_a_proof_is_of_the_consortium_that_it_was_made_under(veilsum, convicting, kept):
    _, file, _ = convicting
    assert "this proves nothing: this session was not one of consortium" in complaint(veilsum, kept, file)


def test_no_record_is_taken_out_of_a_proof(veilsum, convicting, tmp_path):
    agreed, file, _ = convicting
    said = veilsum("verify", file, "--consortium", agreed, "--record", 1, "--out", tmp_path / "one")
    assert said.status == 2
    assert "--record takes one out of a file of records" in said.complaint
