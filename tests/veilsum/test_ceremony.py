"""The ceremony: identities that are not lost, a draft that tells nothing of a row, a file that all sign, checks."""

import gzip
import json
import re
import tomllib
from dataclasses import replace

import pytest
from mnemonic import Mnemonic

from net.config import load_card, load_consortium, load_coordinator, load_party
from net.store import read_keys
from protocols.secagg.family import SECAGG
from veilsum.ceremony.toml import literal, toml_key
from veilsum.ceremony.words import spoken
from veilsum.result import describe

# --- identities ---


def test_an_identity_is_a_public_card_and_a_key_for_its_owner_alone(tmp_path, veilsum):
    said = veilsum("identity", "new", "north-bank", "--out", tmp_path / "mine")
    card, key = tmp_path / "mine" / "north-bank.card", tmp_path / "mine" / "north-bank.key"
    assert said.status == 0
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_card(card).verify_key == read_keys(key).identity.verify_key
    assert read_keys(key).identity.raw.hex() not in said.out + card.read_text()


def test_an_identity_is_never_overwritten(tmp_path, veilsum):
    veilsum("identity", "new", "bank", "--out", tmp_path)
    kept = (tmp_path / "bank.key").read_bytes()
    assert "already" in veilsum("identity", "new", "bank", "--out", tmp_path).complaint
    (tmp_path / "bank.card").unlink()
    assert "already" in veilsum("identity", "new", "bank", "--out", tmp_path).complaint
    assert (tmp_path / "bank.key").read_bytes() == kept


def test_a_name_that_cannot_be_leaves_no_file(tmp_path, veilsum):
    assert "'North Bank' is no name" in veilsum("identity", "new", "North Bank", "--out", tmp_path / "mine").complaint
    assert not (tmp_path / "mine").exists()


def test_owner_and_reader_see_the_same_twelve_words(place, veilsum):
    own = place.ok("identity", "show", place.path("a"))
    assert own == place.ok("identity", "show", place.path("a", "a.card"))
    words = own.splitlines()[0].removeprefix("a: ")
    assert len(words.split()) == 12
    assert place.ok("identity", "show", place.path("b")) != own


def test_the_words_are_128_bits_of_the_fingerprint_with_a_checksum(place):
    key = load_card(place.path("a", "a.card")).verify_key
    assert bytes(Mnemonic("english").to_entropy(spoken(key))) == bytes.fromhex(key.fingerprint)[:16]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "a.key").unlink(), "no identity here"),
        (lambda folder: (folder / "a.card").unlink(), "a.card is missing"),
        (lambda folder: (folder / "a.key").chmod(0o644), "chmod 600"),
        (lambda folder: (folder / "z.key").write_text(""), "more than one identity"),
        (lambda folder: (folder / "a.card").write_text((folder.parent / "b/b.card").read_text()), "is not the key of"),
    ],
)
def test_an_identity_that_is_not_whole_is_named(place, veilsum, spoil, why):
    spoil(place.path("a"))
    assert why in veilsum("identity", "show", place.path("a")).complaint


# --- the schema ---


def test_a_draft_names_columns_ranges_and_the_positive_label(place):
    model = tomllib.loads(place.path("model.toml").read_text())["model"]
    assert (model["label"], model["positive"]) == ("late", "1")
    assert model["columns"]["kind"] == {"categories": ["card", "cash"]}
    assert list(model["columns"]["amount"]) == ["range"]


def test_a_category_of_fewer_than_ten_rows_is_not_published(tmp_path, veilsum):
    lines = ["kind,amount,late", *(f"card,{n},{n % 2}" for n in range(50)), *(f"the-duke,{n},1" for n in range(9))]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    assert "the-duke" not in veilsum("schema", tmp_path / "data.csv", "--label", "late").out


@pytest.mark.parametrize(
    ("values", "wanted", "positive"),
    [
        (["0", "1", "0"], None, "1"),
        (["no", "Yes", "no"], None, "Yes"),
        (["True", "False", "True"], None, "True"),
        (["good", "bad", "good"], None, "bad"),  # the rarer one
        (["good", "bad", "good"], "good", "good"),
    ],
)
def test_the_label_may_be_any_two_values(tmp_path, veilsum, values, wanted, positive):
    lines = ["amount,late", *(f"{n}.5,{value}" for n, value in enumerate(values * 20))]
    with gzip.open(tmp_path / "data.csv.gz", "wt") as file:
        file.write("\n".join(lines))
    said = veilsum("schema", tmp_path / "data.csv.gz", "--label", "late", *(["--positive", wanted] if wanted else []))
    assert tomllib.loads(said.out)["model"]["positive"] == positive


@pytest.mark.parametrize(
    ("text", "words", "why"),
    [
        ("a,late\n1.5,0\n2.5,1\n", ["--label", "lat"], "there is no column 'lat'"),
        ("a,late\n", ["--label", "late"], "no rows"),
        ("a,late\n1.5,0\n2.5,1\n3.5,2\n", ["--label", "late"], "3 values (0, 1, 2): a label has two"),
        ("a,late\n1.5,0\n2.5,0\n", ["--label", "late"], "1 values (0)"),
        ("a,late\n1.5,0\n2.5,1\n", ["--label", "late", "--positive", "2"], "no value '2'"),
        ("", ["--label", "late"], "the file is empty"),
    ],
)
def test_a_table_that_cannot_be_drafted_from_says_why(tmp_path, veilsum, text, words, why):
    (tmp_path / "data.csv").write_text(text)
    assert why in veilsum("schema", tmp_path / "data.csv", *words).complaint


def test_toml_is_written_so_that_it_reads_back():
    nasty = 'a "b" \\ \x7f \n é 😀'
    assert tomllib.loads(f"{toml_key(nasty)} = {literal([nasty, 'x'])}") == {nasty: [nasty, "x"]}
    assert (toml_key("card_age-2"), toml_key("card age")) == ("card_age-2", '"card age"')


# --- the consortium's file ---


def test_auto_is_resolved_when_the_file_is_made_and_the_name_is_written_down(place):
    place.consortium.unlink()
    said = place.create(["a", "b", "c", "d"], protocol="auto")
    assert "secagg: the fractions come to no corrupt party of 4" in said.err
    assert load_consortium(place.consortium).protocol == "secagg"


def test_auto_is_refused_in_one_line_where_nothing_meets_the_numbers(place):
    said = place.create(["a", "b", "c", "d"], colluding=3, losses=1, protocol="auto")
    assert "no protocol withstands 3 corrupt and 1 lost of 4" in said.complaint


def test_creating_prints_the_threshold_and_every_fingerprint(place):
    place.consortium.unlink()
    said = place.create(["a", "b", "c", "d"], losses=0, colluding=1)
    assert "4 members, t = 3" in said.out
    for name in ("a", "b", "c", "d", "hub"):
        assert place.ok("identity", "show", place.path(name)).splitlines()[0] in said.out


def test_the_protocol_and_what_belongs_to_it_are_in_the_file_and_shown(place):
    place.consortium.unlink()
    said = place.create(["a", "b", "c", "d"], **{"protocol": "secagg", "rounds-per-epoch": 8})
    assert said.status == 0, said
    assert "8 rounds follow one exchange of keys" in said.out
    consortium = load_consortium(place.consortium)
    assert (consortium.protocol, consortium.rounds_per_epoch) == ("secagg", 8)


def test_an_accountable_consortium_says_so_in_the_file_and_to_who_signs(place):
    place.consortium.unlink()
    said = place.create(["a", "b", "c", "d"], accountable=True)
    assert said.status == 0, said
    assert "accountable: banks sign for the shares" in said.out
    assert load_consortium(place.consortium).accountable


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"protocol": "secsum"}, "secsum"),
        ({"aggregators": "a"}, "aggregators belong to the protocol 'committee'"),
        ({"protocol": "lightsecagg", "rounds-per-epoch": 2}, "lightsecagg has no epochs"),
        ({"rounds-per-epoch": 1001}, "rounds_per_epoch is a number from 1 to 1000"),
        ({"accountable": True, "protocol": "lightsecagg"}, "accountable sessions are of secagg or secagg+"),
    ],
)
def test_terms_that_do_not_belong_to_the_protocol_are_refused(place, options, why):
    place.consortium.unlink()
    assert why in place.create(["a", "b", "c", "d"], **options).complaint
    assert not place.consortium.exists()


def test_a_protocol_that_finds_no_numbers_refuses_the_terms_with_its_remedy(place, monkeypatch):
    def none_fit(params, parties):
        raise ValueError("plan for fewer losses")

    place.consortium.unlink()
    monkeypatch.setattr("veilsum.ceremony.agreement.family_of", lambda *_: replace(SECAGG, numbers=none_fit))
    assert "secagg among 4 members: plan for fewer losses" in place.create(["a", "b", "c", "d"]).complaint
    assert not place.consortium.exists()


def test_what_no_sum_could_stand_is_refused(place, veilsum):
    place.consortium.unlink()
    assert "colluding + 2 losses must stay below" in place.create(["a", "b", "c", "d"], colluding=2).complaint
    assert "cannot lose 2" in place.create(["a", "b", "c", "d"], losses=2).complaint
    assert "add 1" in place.create(["a", "b"]).complaint
    assert not place.consortium.exists()


def test_the_coordinators_own_card_among_all_cards_is_no_member(place):
    place.consortium.unlink()
    assert place.create(["a", "b", "c", "d", "hub"]).status == 0
    assert [card.name for card in load_consortium(place.consortium).members] == ["a", "b", "c", "d"]


def test_a_file_that_members_may_have_signed_is_not_overwritten(place):
    assert "already" in place.create(["a", "b", "c", "d"]).complaint


def test_two_cards_of_one_name_are_refused(place, veilsum):
    place.consortium.unlink()
    place.ok("identity", "new", "a", "--out", place.path("other"))
    place.path("other", "a.card").rename(place.path("b", "b.card"))
    assert "a and a share one name" in place.create(["a", "b", "c", "d"]).complaint


def test_each_member_adds_its_signature_and_the_digest_stays(place):
    before = load_consortium(place.consortium)
    for name in ("a", "c"):
        assert f"signed as {name}" in place.ok(
            "consortium", "sign", place.consortium, "--identity", place.path(name)
        )  # fmt: skip
    signed = load_consortium(place.consortium)
    assert signed.signatures.keys() == {"a", "c"}
    assert signed.digest == before.digest
    assert replace(signed, signatures={}) == before


def test_who_is_no_member_cannot_sign(place, veilsum):
    stranger = place.identity("stranger")
    said = veilsum("consortium", "sign", place.consortium, "--identity", stranger)
    assert "no member" in said.complaint


def test_what_was_changed_after_a_signature_is_refused(place, veilsum):
    place.ok("consortium", "sign", place.consortium, "--identity", place.path("a"))
    text = place.consortium.read_text()
    place.consortium.write_text(text.replace("rounds = 1", "rounds = 2"))
    said = veilsum("consortium", "sign", place.consortium, "--identity", place.path("b"))
    assert "a signed another content" in said.complaint


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("label =", "lable =", "did you mean 'label'"),
        ("[model]", "[mdoel]", "it holds [model] and nothing else"),
        ('positive = "1"', "positive = 1", "'positive' must be text in quotes"),
        ("range =", "rang =", "column 'amount': write range ="),
        ("[model]", "[model", "not TOML"),
    ],
)
def test_a_slip_in_the_model_section_is_named(place, old, new, why):
    place.consortium.unlink()
    place.path("model.toml").write_text(place.path("model.toml").read_text().replace(old, new))
    complaint = place.create(["a", "b", "c", "d"]).complaint
    assert "model.toml" in complaint
    assert why in complaint


# --- each process's own file ---


def test_a_commented_party_file_says_what_was_asked(place):
    file = place.party("a", address="hub.example:7311")
    config = load_party(file)
    assert str(config.address) == "hub.example:7311"
    assert config.identity.resolve() == place.path("a", "a.key")
    assert (config.label, config.positive) == ("late", "1")
    assert config.terms.max_colluding == load_consortium(place.consortium).colluding
    settings = [line for line in file.read_text().splitlines() if " = " in line and not line.startswith("#")]
    assert [line for line in settings if line.startswith(("label", "positive")) or "  # " in line] == settings


def test_a_commented_coordinator_file_says_what_was_asked(place):
    assert str(load_coordinator(place.coordinator("0.0.0.0:99")).listen) == "0.0.0.0:99"


def test_a_bank_may_call_its_label_otherwise(place):
    text = place.path("b", "data.csv").read_text().replace("late", "DEFAULTED")
    place.path("b", "data.csv").write_text(re.sub(r",1$", ",yes", text, flags=re.MULTILINE))
    config = load_party(place.party("b", label="DEFAULTED", positive="yes"))
    assert (config.label, config.positive) == ("DEFAULTED", "yes")


@pytest.mark.parametrize("command", ["party", "coordinator"])
def test_an_identity_in_the_wrong_role_is_refused(place, veilsum, command):
    stranger = place.identity("stranger")
    words = ["--consortium", place.consortium, "--identity", stranger, "--out", place.path("x.toml")]
    data = ["--data", place.path("a", "data.csv")] if command == "party" else []
    said = veilsum(command, "init", *words, *data)
    assert "stranger" in said.complaint
    assert not place.path("x.toml").exists()


def test_an_own_file_is_not_overwritten_and_an_address_is_checked(place, veilsum):
    file = place.party("a")
    words = ["party", "init", "--consortium", place.consortium, "--identity", place.path("a"), "--data"]
    again = veilsum(*words, place.path("a", "data.csv"), "--out", file)
    assert "already" in again.complaint
    wrong = veilsum(*words, place.path("a", "data.csv"), "--out", place.path("y.toml"), "--address", "nowhere")
    assert (wrong.status, "host:port" in wrong.complaint) == (2, True)


# --- a mesh ---


@pytest.fixture
def mesh(place):
    """Members a, b and c, who have no coordinator."""
    place.consortium.unlink()
    said = place.create(["a", "b", "c"], coordinator=None, protocol="mesh", losses=0)
    assert said.status == 0, said
    assert "mesh: stands 0 colluding and 0 lost" in said.out
    return place


def member_file(mesh, name, *words):
    out = mesh.path(name, "party.toml")
    own = ["--identity", mesh.path(name), "--data", mesh.path(name, "data.csv"), "--out", out]
    return out, ["party", "init", "--consortium", mesh.consortium, *own, *words]


def test_a_commented_file_of_a_mesh_says_where_we_and_the_others_are(mesh, veilsum):
    file, words = member_file(
        mesh, "b", "--listen", "127.0.0.1:99", "--peer", "a=a.example:1", "--peer", "c=c.example:2"
    )
    mesh.ok(*words)
    config = load_party(file)
    assert config.address is None
    assert str(config.mesh.listen) == "127.0.0.1:99"
    assert {name: str(at) for name, at in config.mesh.peers.items()} == {"a": "a.example:1", "c": "c.example:2"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--peer a=HOST:PORT is missing"),
        (["--peer", "a=h:1", "--peer", "z=h:1"], "--peer z: no member of consortium"),
        (["--peer", "a"], "--peer: '' is no address"),
        (["--peer", "a=h:1", "--address", "h:1"], "--address is a coordinator's, and a mesh has none"),
    ],
)
def test_a_place_in_a_mesh_that_does_not_fit_is_refused(mesh, veilsum, words, why):
    file, command = member_file(mesh, "b", *words)
    said = veilsum(*command)
    assert (said.status, why in said.complaint) == (2, True), said
    assert not file.exists()


def test_the_addresses_of_members_do_not_belong_where_a_coordinator_is(place, veilsum):
    _, command = member_file(place, "b", "--peer", "a=h:1")
    assert "belong to a mesh" in veilsum(*command).complaint


def test_a_mesh_has_no_coordinators_file_and_no_coordinators_card(mesh, veilsum):
    words = ["--consortium", mesh.consortium, "--identity", mesh.path("hub"), "--out", mesh.path("x.toml")]
    assert "is a mesh and has no coordinator" in veilsum("coordinator", "init", *words).complaint
    mesh.consortium.unlink()
    assert "leave its card out" in mesh.create(["a", "b", "c"], protocol="mesh", losses=0).complaint
    assert "secagg needs a coordinator" in mesh.create(["a", "b", "c"], coordinator=None, losses=0).complaint


def test_a_check_in_a_mesh_tries_our_port_and_those_whom_we_dial(mesh, veilsum):
    file, command = member_file(mesh, "b", "--listen", "127.0.0.1:0", "--peer", "a=127.0.0.1:1")
    mesh.ok(*command)
    said = veilsum("check", file)
    assert lines(said) == {
        "consortium": True, "identity": True, "data": True, "model": True, "port": True, "reachability": False,
    }  # fmt: skip
    assert "nobody answers at 127.0.0.1:1: is a running" in said.out


# --- the check ---


def lines(said) -> dict[str, bool]:
    """What was looked at -> whether it was well."""
    found = re.findall(r"^(ok|FAILED) +([a-z]+): ", said.out, flags=re.MULTILINE)
    return {what: mark == "ok" for mark, what in found}


def test_a_check_without_a_coordinator_says_so_and_is_no_success(place, veilsum):
    said = veilsum("check", place.party("a"))
    assert said.status == 1
    assert "2 checks failed" in said.complaint
    well = {"consortium": True, "identity": True, "data": True, "model": True, "reachability": False, "clock": False}
    assert lines(said) == well
    assert "120 rows, 30 positive" in said.out


def test_a_check_finds_every_fault_at_once(place, veilsum):
    file = place.party("a")
    place.path("a", "data.csv").write_text("amount,late\n1.0,1\n2.0,0\n")
    place.path("a", "model.npz").write_bytes(b"half a model")
    place.path("a", "a.key").chmod(0o640)
    assert lines(veilsum("check", file)) == {
        "consortium": True, "identity": False, "data": False, "model": False, "reachability": False, "clock": False,
    }  # fmt: skip


def test_a_check_of_the_coordinator_tries_its_port(place, veilsum):
    said = veilsum("check", place.coordinator())
    assert (said.status, lines(said)) == (0, dict.fromkeys(["consortium", "identity", "model", "port"], True))


@pytest.mark.slow
def test_a_check_with_everything_in_place_sends_a_handshake_alone(place, veilsum, waiting_coordinator):
    said = veilsum("check", place.party("a", address=waiting_coordinator))
    assert said.status == 0, said
    assert all(lines(said).values())


@pytest.mark.slow
def test_a_check_tells_a_party_that_the_coordinator_does_not_know(place, veilsum, waiting_coordinator, tmp_path):
    stranger = place.identity("stranger")
    place.consortium.rename(place.path("old.toml"))
    assert place.create(["a", "b", "c", "d", "stranger"]).status == 0
    (stranger / "data.csv").write_bytes(place.path("a", "data.csv").read_bytes())
    said = veilsum("check", place.party("stranger", address=waiting_coordinator))
    assert lines(said)["reachability"] is False
    assert "refused our certificate" in said.out


# --- what comes out ---


def test_a_model_scores_rows_that_have_no_label(place, veilsum):
    place.store_model("a")
    describe(place.path("a", "model.npz"), load_consortium(place.consortium))
    table = place.path("a", "data.csv").read_text().splitlines()
    place.path("new.csv").write_text("\n".join(line.rpartition(",")[0] for line in table))
    out = place.path("scores.csv")
    for _ in range(2):  # a second time replaces the first
        place.ok("predict", place.path("a", "model.npz"), "--data", place.path("new.csv"), "--out", out)
    header, *scores = out.read_text().splitlines()
    assert (header, len(scores)) == ("score", 120)
    assert all(0 <= float(score) <= 1 for score in scores)


def test_the_description_holds_schema_rounds_and_digests(place):
    place.store_model("a")
    consortium = load_consortium(place.consortium)
    describe(place.path("a", "model.npz"), consortium)
    description = json.loads(place.path("a", "model.json").read_text())
    assert description["schema"] == dict(consortium.training)["schema"]
    assert description["rounds"] == {"done": 0, "of": 1}
    assert description["digests"]["consortium"] == consortium.digest.hex()
    assert description.keys() >= {"format", "model", "label", "positive", "history"}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "model.npz").unlink(), "there is no such model"),
        (lambda folder: (folder / "model.npz").write_bytes(b"PK"), "not a model of veilsum"),
        (lambda folder: (folder / "model.json").unlink(), "keep it beside model.npz"),
        (lambda folder: (folder / "model.json").write_text("{}"), "not the description of a model"),
        (
            lambda folder: (folder / "model.json").write_text('{"schema": {"x": {"range": [0, 1]}}}'),
            "describes another model",
        ),
        (lambda folder: (folder / "data.csv").write_text("kind,late\ncash,1\n"), "the column 'amount' is missing"),
    ],
)
def test_what_cannot_be_scored_says_why(place, veilsum, spoil, why):
    place.store_model("a")
    describe(place.path("a", "model.npz"), load_consortium(place.consortium))
    spoil(place.path("a"))
    out = place.path("scores.csv")
    said = veilsum("predict", place.path("a", "model.npz"), "--data", place.path("a", "data.csv"), "--out", out)
    assert (said.status, why in said.complaint) == (1, True), said
    assert not out.exists()
