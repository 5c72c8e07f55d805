"""`veilsum trial`, plan.toml in the ceremony, and the files with which a framework's node or server opens its place."""

import tomllib

import pytest

from fl_integration.asking import AskingError
from fl_integration.plan import Plan, PlanError
from net.config import load_consortium, load_node, load_server
from net.errors import ConfigError, NetError
from net.store import read_keys
from protocols.messages import Round
from protocols.session import Variant
from veilsum.frameworks import open_desk, open_seat
from veilsum.trial import node_file, write_trial

PLAN = """\
clip = 0.5
rows_per_unit = 100
[metrics]
train_loss = [0, 10]
[evaluation]
eval_acc = [0, 1]
"""


@pytest.fixture
def trial(tmp_path):
    write_trial(tmp_path / "veil", nodes=5, losses=1, patience=7.0, training={"clip": 0.5})
    return tmp_path / "veil"


# The trial's files


def test_a_trial_is_a_server_and_as_many_nodes_as_were_asked_for(tmp_path, veilsum):
    said = veilsum(
        "trial", tmp_path / "veil", "--nodes", 4, "--metric", "train_loss=0:10", "--evaluation", "acc=0:1",
        "--evaluation", "eval_loss=-1.5:10", "--clip", 0.25, "--bits", 12, "--rows-per-unit", 50, "--patience", 5,
    )  # fmt: skip
    assert (said.status, said.err) == (0, "")
    assert "4 members, t = 3" in said.out
    nodes = {f"node-{place}.{kind}" for place in range(4) for kind in ("toml", "key")}
    found = {file.name for file in (tmp_path / "veil").iterdir()}
    assert found == {"consortium.toml", "server.toml", "server.key", *nodes}
    seat, plan = open_seat(node_file(tmp_path / "veil", 3))
    assert plan == Plan(
        clip=0.25,
        bits=12,
        rows_per_unit=50,
        metrics={"train_loss": (0.0, 10.0)},
        evaluation={"acc": (0.0, 1.0), "eval_loss": (-1.5, 10.0)},
    )
    assert seat.consortium.members[seat.me].name == "node-3"
    assert load_server(tmp_path / "veil" / "server.toml").policy.of("share").patience == 5.0


def test_keys_are_for_their_owner_alone_and_the_folder_as_well(trial):
    assert trial.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in trial.glob("*.key")} == {0o600}


def test_the_room_that_losses_leave_goes_to_colluders(trial):
    consortium = load_consortium(trial / "consortium.toml")
    assert (consortium.colluding, consortium.losses) == (2, 1)
    assert load_node(node_file(trial, 0)).terms.max_colluding == 2


def test_each_identity_and_each_ledger_is_a_nodes_own(trial):
    seats = [load_node(node_file(trial, place)) for place in range(5)]
    assert len({seat.ledger for seat in seats}) == 5
    assert len({read_keys(seat.identity).identity.raw for seat in seats}) == 5


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--losses", 2], "3 nodes cannot lose 2"),
        (["--metric", "train_loss"], "write it as name=low:high"),
        (["--metric", "train_loss=0-10"], "write it as name=low:high"),
        (["--metric", "=0:10"], "write it as name=low:high"),
        (["--evaluation", "acc=1:0"], "evaluation: "),
        (["--metric", "loss=0:nan"], "metrics: "),
        (["--nodes", 2], "2 is not in the range"),
        (["--bits", 33], "33 is not in the range"),
    ],
)
def test_what_no_trial_can_be_is_refused_and_leaves_nothing(tmp_path, veilsum, words, why):
    said = veilsum("trial", tmp_path / "veil", "--nodes", 3, "--losses", 0, *words)
    assert said.status == 2
    assert why in said.complaint
    assert not (tmp_path / "veil").exists()


def test_a_folder_with_files_in_it_is_left_alone(trial, veilsum):
    before = {file: file.read_bytes() for file in trial.iterdir()}
    said = veilsum("trial", trial)
    assert (said.status, "there are files in it already" in said.complaint) == (1, True)
    assert {file: file.read_bytes() for file in trial.iterdir()} == before


# Opening a place


def test_a_desk_has_the_policy_and_the_plan_of_its_files(trial):
    (trial / "server.toml").write_text((trial / "server.toml").read_text() + "[policy.share]\nhoped_for = 4\n")
    desk = open_desk(trial / "server.toml")
    assert (desk.clients, desk.plan.clip) == (5, 0.5)
    share, confirm = desk.policy.of(Round.SHARE.value), desk.policy.of(Round.CONFIRM.value)
    assert (share.patience, share.hoped_for, confirm.patience, confirm.hoped_for) == (7.0, 4, 7.0, None)


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_node_whose_identity_is_no_member_is_refused(trial):
    replace(node_file(trial, 0), "node-0.key", "server.key")
    with pytest.raises(ConfigError, match=r"consortium\.toml: "):
        open_seat(node_file(trial, 0))


def test_a_server_under_a_nodes_identity_is_refused(trial):
    replace(trial / "server.toml", "server.key", "node-0.key")
    with pytest.raises(AskingError, match="this identity is not the coordinator of trial"):
        open_desk(trial / "server.toml")


def test_the_variant_in_which_nobody_signs_is_refused(trial):
    replace(trial / "consortium.toml", f'variant = "{Variant.ACTIVE}"', f'variant = "{Variant.CURIOUS}"')
    with pytest.raises(AskingError, match="take the active one"):
        open_desk(trial / "server.toml")


@pytest.mark.parametrize("file", ["node-0.toml", "node-0.key", "consortium.toml"])
def test_a_file_that_is_missing_is_named(trial, file):
    (trial / file).unlink()
    with pytest.raises(NetError, match=file):
        open_seat(node_file(trial, 0))


def test_a_plan_that_nobody_can_follow_is_named_with_its_file(trial):
    replace(trial / "consortium.toml", "clip = 0.5", "clipp = 0.5")
    with pytest.raises(PlanError, match=r"consortium\.toml: \[training\] unknown key 'clipp': did you mean 'clip'"):
        open_seat(node_file(trial, 0))


# plan.toml in the ceremony


def create(place, *words):
    place.consortium.unlink(missing_ok=True)
    cards = [place.path(name, f"{name}.card") for name in "abcd"]
    return place.veilsum(
        "consortium", "create", "--members", *cards, "--coordinator", place.path("hub", "hub.card"), "--colluding", 1,
        "--losses", 1, "--out", place.consortium, *words,
    )  # fmt: skip


@pytest.fixture
def ceremony(place, veilsum):
    place.veilsum = veilsum
    place.path("plan.toml").write_text(PLAN)
    return place


def test_a_consortium_is_made_from_a_plan(ceremony):
    assert create(ceremony, "--plan", ceremony.path("plan.toml")).status == 0
    consortium = load_consortium(ceremony.consortium)
    assert dict(consortium.training) == tomllib.loads(PLAN)
    plan = Plan.from_mapping(consortium.training, max_weight=consortium.max_weight)
    assert (plan.clip, plan.evaluation) == (0.5, {"eval_acc": (0.0, 1.0)})


def test_a_consortium_has_a_plan_or_a_schema(ceremony):
    plan, schema = ("--plan", ceremony.path("plan.toml")), ("--schema", ceremony.path("model.toml"))
    for words in ((), (*plan, *schema)):
        said = create(ceremony, *words)
        assert (said.status, "what was agreed on is one file" in said.complaint) == (2, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("clip = 'wide'", "'clip' is of type float"),
        ("klip = 1.0", "unknown key 'klip': did you mean 'clip'?"),
        ("[metrics]\nloss = 3", "'metrics' is a table of name = [lowest, highest]"),
        ("clip = ", "not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_plan_that_cannot_be_used_is_named(ceremony, text, why):
    file = ceremony.path("plan.toml")
    file.unlink() if text is None else file.write_text(text)
    complaint = create(ceremony, "--plan", file).complaint
    assert f"{file}: " in complaint
    assert why in complaint
    assert not ceremony.consortium.exists()
