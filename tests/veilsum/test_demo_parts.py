"""The demo's parts, without its processes: what can be run, what counts as exact, what is shown, what is left."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fl_integration import training
from mpc.field import PrimeField
from protocols.families import FAMILIES
from protocols.session import PROTOCOLS
from protocols.session import Variant as SessionVariant
from veilsum.demo.crew import Crew
from veilsum.demo.files import open_workplace
from veilsum.demo.guard import Keeper
from veilsum.demo.options import Model, Options, Protocol, Variant
from veilsum.demo.plan import plan
from veilsum.demo.recording import Recording, is_exact
from veilsum.demo.results import Dropped, Results, RoundResult, Scores
from veilsum.demo.tables import show_plan, show_results
from veilsum.errors import Fault, WrongUsage

BANKS = ["bank-1", "bank-2", "bank-3"]
RESULTS = Results(
    protocol="secagg",
    rounds=[RoundResult(2, BANKS, [Dropped("bank-4", "masked-input")], ["bank-5"], True, 1075, 0.327, 0.8698)],
    auc=Scores({"bank-1": 0.7474}, 0.8702, 0.8719),
    exact=True,
)


def test_the_options_have_the_names_of_the_protocols():
    assert tuple(protocol.value for protocol in Protocol) == PROTOCOLS
    assert [variant.value for variant in Variant] == [variant.value for variant in SessionVariant]
    assert [model.value for model in Model] == [model.value for model in training.Model]


@pytest.mark.parametrize(
    ("asked", "colluding", "threshold", "lost"),
    [
        (Options(), 2, 4, ("bank-5",)),
        (Options(lose=0), 3, 5, ()),
        (Options(banks=3, lose=0), 1, 3, ()),
        (Options(banks=3, stage="confirm", rounds=2), 0, 2, ("bank-3",)),
        (Options(banks=4), 1, 3, ("bank-4",)),
        (Options(banks=7, lose=2), 2, 5, ("bank-6", "bank-7")),
        (Options(variant=Variant.CURIOUS), 2, 3, ("bank-5",)),
        (Options(protocol=Protocol.MESH), 2, 4, ("bank-5",)),
    ],
)
def test_the_plan_takes_the_most_colluders_that_the_rules_allow(asked, colluding, threshold, lost):
    planned = plan(asked)
    assert (planned.colluding, planned.numbers["t"], planned.lost) == (colluding, threshold, lost)
    assert planned.colluding + 2 * asked.lose < asked.banks
    assert planned.numbers["t"] <= asked.banks - asked.lose


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_stage_of_every_protocol_can_be_asked_for_and_the_input_leaves_in_the_one_without_a_name(family):
    protocol = Protocol(family.name)
    for stage in family.stages(SessionVariant.ACTIVE):
        assert plan(Options(protocol=protocol, stage=stage.value)).stage is stage
    assert plan(Options(protocol=protocol)).stage is family.input_stage


def test_a_protocol_whose_numbers_do_not_fit_is_refused_with_its_own_remedy(monkeypatch):
    def none_fit(params, parties):
        raise ValueError("use more --banks")

    picky = replace(FAMILIES["secagg"], numbers=none_fit)
    monkeypatch.setattr("veilsum.demo.plan.family_of", lambda name, rounds: picky)
    with pytest.raises(WrongUsage, match="secagg with 5 banks of which 1 are lost: use more --banks"):
        plan(Options())


def test_a_graph_that_has_every_edge_is_said_to_be_complete(monkeypatch):
    sparse = replace(FAMILIES["secagg"], numbers=lambda params, parties: {"k": parties - 1, "t": 4})
    monkeypatch.setattr("veilsum.demo.plan.family_of", lambda name, rounds: sparse)
    out = io.StringIO()
    show_plan(Console(file=out, width=200), plan(Options()))
    assert "(c = 2, k = 4, t = 4); the graph is complete" in out.getvalue()


def test_how_many_sums_follow_one_exchange_of_keys_is_shown_where_it_is_not_one():
    for rounds, told in ((1, False), (3, True)):
        out = io.StringIO()
        show_plan(Console(file=out, width=200), plan(Options(rounds_per_epoch=rounds)))
        assert ("; 3 sums follow one exchange of keys" in out.getvalue()) is told


@pytest.mark.parametrize("asked", [Options(rounds_per_epoch=2), Options(rounds_per_epoch=3, lose=0)])
def test_a_stage_of_the_exchange_of_keys_can_be_asked_for_where_it_is_held_or_nobody_is_lost(asked):
    assert plan(replace(asked, stage="share")).stage.value == "share"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Options(banks=3), "before its input left"),
        (Options(banks=3, stage="unmask"), "--rounds 2"),
        (Options(banks=4, lose=2), "use more --banks"),
        (Options(rounds=1), "--lose 0"),
        (
            Options(variant=Variant.CURIOUS, stage="confirm"),
            "the curious secagg has no stage 'confirm': use one of advertise, share, masked-input, unmask",
        ),
        (Options(stage="commit"), "the active secagg has no stage 'commit': use one of advertise, share, "),
        (Options(protocol=Protocol.MESH, stage="share", variant=Variant.CURIOUS), "mesh has no curious variant"),
        (Options(protocol=Protocol.MESH, stage="masked-input"), "mesh has no stage 'masked-input': use one of hello"),
        (Options(protocol=Protocol.MESH, rounds_per_epoch=2), "mesh has no epochs: leave --rounds-per-epoch out"),
        (Options(variant=Variant.CURIOUS, rounds_per_epoch=2), "secagg has no curious variant: use --variant active"),
        (Options(rounds_per_epoch=1001), "an epoch has 1 to 1000 rounds"),
        (Options(banks=15, rounds_per_epoch=1000), "keys of at most 968 rounds at once: agree on fewer rounds"),
        (
            Options(rounds_per_epoch=3, stage="share"),
            "no keys are exchanged in training round 2, where banks are lost: use --stage masked-input or a later one",
        ),
    ],
)
def test_what_no_session_allows_is_refused_in_one_line_with_the_remedy(asked, why):
    with pytest.raises(WrongUsage, match=why) as refusal:
        plan(asked)
    assert "\n" not in str(refusal.value)


def test_a_folder_that_holds_files_is_not_written_to(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(WrongUsage, match="name a new folder"):
        open_workplace(tmp_path)
    assert open_workplace(tmp_path / "new" / "one").consortium.parent.is_dir()


def recorded(folder: Path, vectors: dict[str, list[int]], aggregate: list[int], modulus: int) -> Recording:
    recording = Recording(folder)
    for bank, vector in vectors.items():
        np.save(recording.vector(bank, 1), np.array(vector, dtype=np.uint64))
    np.savez(recording.aggregate(1), vector=np.array(aggregate, dtype=np.uint64), modulus=np.uint64(modulus))
    return recording


@pytest.mark.parametrize(
    ("aggregate", "exact"), [([7, 9, 11], True), ([7, 9, 12], False), ([7, 9], False), ([7, 9, 11, 0], False)]
)
def test_exact_means_every_element_is_the_sum_over_the_integers(tmp_path, aggregate, exact):
    recording = recorded(tmp_path, {"a": [1, 2, 3], "b": [6, 7, 8], "c": [9, 9, 9]}, aggregate, 251)
    assert is_exact(recording, 1, ["a", "b"]) is exact


def test_a_sum_that_wrapped_in_the_field_is_not_exact(tmp_path):
    modulus = PrimeField.with_bits(61).modulus
    recording = recorded(tmp_path, {"a": [modulus - 1], "b": [2]}, [1], modulus)
    assert not is_exact(recording, 1, ["a", "b"])


def shape(value: object) -> object:
    """The type of each field; lists and tables by name by their first entry."""
    if isinstance(value, dict):
        by_bank = all(key.startswith("bank-") for key in value)
        return shape(next(iter(value.values()))) if by_bank else {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_the_json_has_the_documented_shape():
    page = (Path(__file__).parents[2] / "docs/json.md").read_text()
    section = page.split("## `veilsum demo --json`")[1]
    documented = json.loads(section.split("```json")[1].split("```")[0])
    with_absent = replace(RESULTS, rounds=[replace(RESULTS.rounds[0], absent=[])])
    assert shape(json.loads(with_absent.to_json())) == shape(documented)
    assert "\n" not in RESULTS.to_json()


def test_the_tables_fit_a_narrow_terminal_and_say_who_was_lost_where():
    out = io.StringIO()
    console = Console(file=out, width=80)
    show_plan(console, plan(Options()))
    show_results(console, RESULTS)
    assert "c = 2, t = 4" in out.getvalue()
    assert "4 at masked-input" in out.getvalue()
    show_results(console, replace(RESULTS, exact=False))
    assert "differs from" in out.getvalue()


def test_the_keeper_removes_its_folder_when_the_last_holder_is_gone():
    keeper = Keeper()
    held = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=(keeper.descriptor,),
    )
    (keeper.folder / "deep").mkdir()
    (keeper.folder / "deep" / "file").touch()
    assert keeper.folder.stat().st_mode & 0o077 == 0
    held.communicate()
    keeper.close()
    assert not keeper.folder.exists()


@pytest.mark.slow
def test_a_process_that_stops_by_itself_is_named_with_its_last_words(tmp_path):
    with Keeper() as keeper, Crew(keeper) as crew:
        crew.start("bank-1", tmp_path / "log", "party", str(tmp_path / "none.toml"), str(tmp_path), "bank-1")
        with pytest.raises(Fault, match=r"bank-1 stopped: .*none\.toml: cannot be read"):
            crew.finish(frozenset())
