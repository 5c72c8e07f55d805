"""Proofs that the coordinator keeps of who cheated, over real TLS."""

import stat
from types import SimpleNamespace

import pytest
from cheats import AccountableRoom, Cheat, Plan, RevealsWrong, held

from net.errors import NetError
from net.partaking import Partaking
from net.proofs import ProofsFolder
from net.records import RecordsFile
from protocols.accounts import Offence, check, proof_from_bytes
from protocols.errors import PartyId
from protocols.evidence import Verdict

CHEATER, TARGET = PartyId(1), PartyId(2)


@pytest.fixture
def cheating(monkeypatch):
    """Bank 1 reveals a wrong share of bank 2, and signs it."""
    honest = Partaking._machine

    def make(partaking, *given):
        machine, member = honest(partaking, *given), partaking._member
        if member.me != CHEATER:
            return machine
        signs = SimpleNamespace(identities={CHEATER: member.keys.identity})
        return RevealsWrong(machine, signs, Plan(Cheat.REVEALS_WRONG_SHARE, TARGET))

    monkeypatch.setattr(Partaking, "_machine", make)


@pytest.mark.slow
async def test_a_bank_that_cheats_leaves_a_verdict_and_a_proof_that_stands_by_itself(loopback, cheating, caplog):
    talk = loopback(accountable=True)
    await talk.run(steps=2)
    assert [bank.error for bank in talk.banks] == [None] * 5
    folder = talk.folder / "coordinator.proofs"
    names = [f"version-1-record-{number}-bank-1-wrong-share.proof" for number in (1, 2)]
    assert sorted(file.name for file in folder.iterdir()) == names
    verdict = Verdict(CHEATER, Offence.WRONG_SHARE)
    records = list(RecordsFile(talk.folder / "coordinator.records", talk.consortium).chain())
    for record, name in zip(records, names, strict=True):
        proof = proof_from_bytes((folder / name).read_bytes())
        assert check(proof, talk.consortium) == verdict
        assert record.evidence.verdicts == (verdict,)
        assert proof.scene.params == record.params
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert f"bank-1 broke the protocol: {Offence.WRONG_SHARE}: {folder / names[0]} proves it" in caplog.text


@pytest.mark.slow
async def test_where_nobody_cheats_there_is_no_folder(loopback):
    talk = loopback(accountable=True)
    await talk.run()
    assert not (talk.folder / "coordinator.proofs").exists()


# The folder


@pytest.fixture(scope="module")
def convicting():
    """A consortium, and the proofs against two cheaters, one of whom lied of two."""
    room = AccountableRoom(clients=7)
    plans = {
        PartyId(0): Plan(Cheat.REVEALS_WRONG_SHARE, PartyId(5)),
        PartyId(1): Plan(Cheat.DEALS_BAD_SELF_SHARE, TARGET),
    }
    return room.consortium, held(room, plans).server.proofs


def test_each_verdict_has_one_file_and_writing_it_again_changes_nothing(convicting, tmp_path):
    consortium, proofs = convicting
    folder = ProofsFolder(tmp_path / "model.proofs", consortium)
    kept = folder.write(3, [*proofs, *proofs])
    assert kept.keys() == {proof.verdict for proof in proofs}
    assert [file.name for file in kept.values()] == [
        f"version-1-record-3-{consortium.members[verdict.cheater].name}-{Offence(verdict.reason).label}.proof"
        for verdict in kept
    ]
    before = {file: file.read_bytes() for file in kept.values()}
    assert folder.write(3, proofs) == kept
    assert {file: file.read_bytes() for file in folder.path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_said_in_one_line(convicting, tmp_path):
    consortium, proofs = convicting
    (tmp_path / "model.proofs").write_text("in its place")
    with pytest.raises(NetError, match=r"model.proofs: cannot be made: File exists"):
        ProofsFolder(tmp_path / "model.proofs", consortium).write(1, proofs)
