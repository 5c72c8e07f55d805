import pytest

from mpc.field import M31
from net.config import (
    Address,
    CoordinatorConfig,
    MeshConfig,
    PartyConfig,
    PartyTerms,
    dump_card,
    dump_consortium,
    dump_coordinator,
    dump_party,
    load_card,
    load_consortium,
    load_coordinator,
    load_family,
    load_party,
)
from net.errors import ConfigError
from net.policy import ASSEMBLE, Policy, RoundPolicy
from protocols.roster import ConsortiumError
from protocols.session import NO_COORDINATOR, Variant, VectorSpec

PARTY = """
consortium = "../consortium.toml"
identity = "bank.key"
payload = "model.npz"
address = "hub.example:7000"
data = "table.csv"
[terms]
max_colluding = 1
"""


@pytest.fixture
def party(tmp_path):
    def load(text):
        path = tmp_path / "party.toml"
        path.write_text(text)
        return load_party(path)

    return load


def test_a_card_comes_back_from_its_file(tmp_path, make_card):
    card, path = make_card("bank-0"), tmp_path / "bank-0.card"
    path.write_text(dump_card(card))
    assert load_card(path) == card


def test_a_consortium_comes_back_from_its_file_with_its_digest_and_signatures(tmp_path, make_consortium, make_keys):
    training = {"model": "linear", "rate": 0.25, "schema": {"columns": [{"name": "amount", "clip": [0, 10.5]}]}}
    consortium = make_consortium(training=training).signed(make_keys("bank-3").identity)
    path = tmp_path / "consortium.toml"
    path.write_text(dump_consortium(consortium))
    loaded = load_consortium(path)
    assert loaded == consortium
    assert "accountable" not in path.read_text()
    assert (loaded.digest, loaded.config_digest) == (consortium.digest, consortium.config_digest)


def test_a_consortium_that_agreed_on_accountability_says_so_in_its_file_and_in_its_parties_terms(
    tmp_path, make_consortium
):
    consortium, path = make_consortium(accountable=True), tmp_path / "consortium.toml"
    path.write_text(dump_consortium(consortium))
    assert "accountable = true" in path.read_text()
    assert load_consortium(path) == consortium
    subject, spec = consortium.subject(bytes(32)), VectorSpec(1, M31)
    assert consortium.params(subject, spec, bytes(32)).accountable
    assert PartyTerms(max_colluding=1).accepting(subject, spec, consortium).accountable


def test_a_coordinators_file_comes_back(tmp_path):
    config = CoordinatorConfig(
        consortium=tmp_path / "consortium.toml",
        identity=tmp_path / "secret" / "hub.key",
        payload=tmp_path / "model.npz",
        listen=Address("0.0.0.0", 7000),
        policy=Policy(
            RoundPolicy(30.0),
            {ASSEMBLE: RoundPolicy(5.0, quantile=0.9, stretch=3.0), "masked-input": RoundPolicy(300.0, 4)},
            attempts=2,
        ),
    )
    path = tmp_path / "coordinator.toml"
    path.write_text(dump_coordinator(config, tmp_path))
    assert load_coordinator(path) == config
    assert str(tmp_path) not in path.read_text()


def test_a_partys_file_comes_back(tmp_path):
    config = PartyConfig(
        consortium=tmp_path / "consortium.toml",
        identity=tmp_path / "bank.key",
        payload=tmp_path / "model.npz",
        address=Address("hub.example", 7000),
        data=tmp_path / "table.csv",
        terms=PartyTerms(max_colluding=1, cohort=4),
        label="fraud",
        patience=30.0,
    )
    path = tmp_path / "party.toml"
    path.write_text(dump_party(config, tmp_path))
    assert load_party(path) == config


def test_the_file_of_a_member_of_a_mesh_comes_back(tmp_path):
    config = PartyConfig(
        consortium=tmp_path / "consortium.toml",
        identity=tmp_path / "bank.key",
        payload=tmp_path / "model.npz",
        mesh=MeshConfig(
            Address("0.0.0.0", 7000),
            {"bank-0": Address("a.example", 7000), "bank-2": Address("c.example", 7001)},
            Policy(RoundPolicy(30.0), {ASSEMBLE: RoundPolicy(5.0), "ready": RoundPolicy(9.0)}, attempts=2),
        ),
        terms=PartyTerms(max_colluding=1),
    )
    path = tmp_path / "party.toml"
    path.write_text(dump_party(config, tmp_path))
    assert load_party(path) == config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('address = "hub.example:7000"', "", "write 'address', where the coordinator listens, or in a mesh 'listen'"),
        ("[terms]", '[peers]\nbank-0 = "a:1"\n[terms]', "write 'address', where the coordinator listens, or in a mesh"),
        ('address = "hub.example:7000"', 'listen = "h:1"', "'peers' is missing: add it"),
        (
            'address = "hub.example:7000"',
            'listen = "h:1"\npeers = {bank-0 = "a"}',
            "'bank-0': 'a' is no address",
        ),
    ],
)
def test_a_place_that_is_neither_at_a_coordinator_nor_in_a_mesh_is_named(party, old, new, message):
    with pytest.raises(ConfigError, match=message):
        party(PARTY.replace(old, new))


def test_a_mesh_has_no_coordinator_and_everything_else_has(tmp_path, make_consortium, make_card):
    mesh = make_consortium(protocol="mesh", coordinator=None)
    path = tmp_path / "consortium.toml"
    path.write_text(dump_consortium(mesh))
    assert load_consortium(path) == mesh
    assert mesh.subject(bytes(32)).coordinator == NO_COORDINATOR
    with pytest.raises(ConsortiumError, match="has no coordinator: each member runs its party"):
        _ = mesh.head
    with pytest.raises(ConsortiumError, match="a mesh has no coordinator: leave its card out"):
        make_consortium(protocol="mesh")
    with pytest.raises(ConsortiumError, match="secagg needs a coordinator: add its card, or agree on a mesh"):
        make_consortium(coordinator=None)


def test_a_variant_that_the_protocol_does_not_have_is_refused(tmp_path, make_consortium):
    curious = make_consortium(protocol="mesh", coordinator=None, variant=Variant.CURIOUS)
    with pytest.raises(ConfigError, match="mesh has no curious variant"):
        load_family(curious, tmp_path / "consortium.toml")


def test_paths_are_relative_to_the_file_and_the_rest_has_defaults(tmp_path, party):
    config = party(PARTY)
    assert config.identity == tmp_path / "bank.key"
    assert config.consortium == tmp_path / ".." / "consortium.toml"
    assert (config.label, config.terms) == (None, PartyTerms(max_colluding=1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("address", "adress", r"party\.toml: unknown key 'adress': did you mean 'address'\?"),
        ("max_colluding", "max_coluding", r"\[terms\] unknown key 'max_coluding': did you mean 'max_colluding'\?"),
        ("data", "xyz", r"unknown key 'xyz': known are consortium, "),
        ('identity = "bank.key"', "", r"'identity' is missing: add it \(text in quotes\)"),
        ('data = "table.csv"', "data = 3", r"'data' must be text in quotes, not 3"),
        ("max_colluding = 1", "max_colluding = true", r"\[terms\] 'max_colluding' must be a whole number, not True"),
        ("max_colluding = 1", "max_colluding = 1\nvariant = 'lax'", "'variant' must be one of active, curious"),
        ("hub.example:7000", "hub.example", "'address': 'hub.example' is no address: write it as host:port"),
        ("hub.example:7000", "hub.example:70000", "is no address"),
        ("[terms]", "[terms", "not TOML"),
        ("[terms]", "patience = inf\n[terms]", "'patience' must be a number of seconds above 0, not inf"),
        ("[terms]", "patience = nan\n[terms]", "'patience' must be a number of seconds above 0, not nan"),
        ("[terms]", "patience = 0\n[terms]", "'patience' must be a number of seconds above 0, not 0"),
        ("max_colluding = 1", "max_colluding = -1", r"\[terms\] 'max_colluding' must be 0 or more, not -1"),
        ("[terms]", "[terms]\ncohort = 0", r"\[terms\] 'cohort' must be 1 or more, not 0"),
        ("[terms]", f"x = {'[' * 3000}\n[terms]", "nested too deeply"),
        ("[terms]", f"patience = {10**400}\n[terms]", "a whole number of more than 64 bits"),
        ("[terms]", f"[terms]\ncohort = 0x{'f' * 5000}", "a whole number of more than 64 bits"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_remedy(party, old, new, message):
    with pytest.raises(ConfigError, match=message) as caught:
        party(PARTY.replace(old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("patiense = 3", "unknown key 'patiense': did you mean 'patience'"),
        ("patience = 0", "patience is a number of seconds above 0"),
        ("attempts = 0", "attempts is a number above 0"),
        ("[policy.masked-inputs]", "unknown key 'masked-inputs': did you mean 'masked-input'"),
        ("[policy.share]\nhoped = 3", r"\[policy.share\] unknown key 'hoped': did you mean 'hoped_for'"),
        ("[policy.share]\nhoped_for = 0", r"\[policy.share\] hoped_for is a number"),
        ("quantile = 1.5", "quantile is a share of the parties"),
        ("quantile = 0.9\nstretch = 0.5", "stretch is a number of 1 or more"),
    ],
)
def test_a_mistake_in_the_policy_is_named(tmp_path, line, message):
    path = tmp_path / "coordinator.toml"
    path.write_text(f'consortium="c"\nidentity="i"\npayload="p"\nlisten="h:1"\n[policy]\n{line}')
    with pytest.raises(ConfigError, match=message):
        load_coordinator(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"consortium\.toml: cannot be read: No such file"):
        load_consortium(tmp_path / "consortium.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bank-2", "bank-9", r"\[member 3\] the card of bank-9 is not signed by its identity"),
        ("colluding = 1", "colluding = 3", "stand 2 colluding parties, not 3"),
        ("-----BEGIN", "-----BEGINS", "'tls_root' must be a PEM certificate"),
        ('identity = "', 'identity = "zz', "'identity' must be hexadecimal digits"),
        ("secagg", "secsum", "the protocol 'secsum' is not known here"),
        ("rate = 0.5", "rate = nan", "only text, numbers, lists and tables can be agreed on"),
        ("rate = 0.5", "rate = 2024-02-29", "only text, numbers, lists and tables can be agreed on"),
        ("version = 1", "version = 2147483648", "stay below 2147483648"),
        ("max_weight = 1", "max_weight = 2147483648", "stay below 2147483648"),
    ],
)
def test_a_mistake_in_the_consortium_file_is_named(tmp_path, make_consortium, old, new, message):
    path = tmp_path / "consortium.toml"
    path.write_text(dump_consortium(make_consortium()).replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_consortium(path)
