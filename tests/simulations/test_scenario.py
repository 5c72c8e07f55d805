"""A scenario is data: it prints, comes back, and says what is wrong with it."""

import math
from pathlib import Path

import pytest

from protocols.deadlines import Policy, RoundPolicy
from protocols.session import Variant
from simulations import scenario as module
from simulations.faults import (
    ByDevice,
    ByStage,
    Delay,
    Diurnal,
    Dropout,
    Exactly,
    Independent,
    Lose,
    Nobody,
    Regional,
    Repeat,
    Targeted,
    Trace,
    Vanish,
)
from simulations.network import Device, Network
from simulations.plain import ScenarioError
from simulations.scenario import Scenario

EVERYTHING = Scenario(
    protocol="mesh",
    parties=12,
    dimension=7,
    bits=20,
    rounds=3,
    seed=9,
    variant=Variant.CURIOUS,
    colluding=2,
    losses=1,
    threshold=4,
    cohort=5,
    regions=3,
    dropout=ByDevice({"phone": 0.25}, stage="share"),
    faults=(Vanish(3, "share", 2), Delay(1, "share", 2.5), Lose(4, "share", down=True), Repeat(5, "unmask")),
    network=Network(server_mbps=1000.0, loss=0.01, noticed=False),
    devices=(Device(name="phone", share=0.7, up_mbps=5.0, jitter=0.4), Device(name="laptop", share=0.3)),
    policy=Policy(RoundPolicy(9.0, hoped_for=8), {"share": RoundPolicy(3.0, quantile=0.9, stretch=1.5)}, attempts=1),
)

MODELS: list[Dropout] = [
    Nobody(),
    Exactly(0.1),
    Independent(0.2, "share"),
    Regional(0.5, 0.9, 0.01),
    Diurnal(0.1, 0.5, 2.0),
    ByDevice({"desktop": 0.3}),
    ByStage({"share": 0.1, "unmask": 0.2}),
    Targeted(victim=2, most=3),
    Trace("losses.csv"),
]


def test_a_scenario_comes_back_from_its_toml() -> None:
    assert Scenario.from_toml(EVERYTHING.to_toml()) == EVERYTHING
    assert Scenario.from_toml("") == Scenario()
    assert Scenario().to_toml() == ""


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_model_of_dropout_comes_back(model: Dropout) -> None:
    scenario = Scenario(dropout=model)
    assert Scenario.from_toml(scenario.to_toml()).dropout == model


def test_a_dropout_of_somebodys_own_stays_in_python() -> None:
    class Own(Exactly):
        pass

    with pytest.raises(ScenarioError, match="keep the scenario in Python"):
        Scenario(dropout=Own(0.1)).to_toml()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partys = 3", r"scenario\.partys is not known: did you mean parties\?"),
        ("parties = 2", "parties is 2: a sum covers at least 3"),
        ('parties = "10"', "scenario.parties is of type int"),
        ("dimension = 0", "a vector has 1 to"),
        ("rounds = 0", "rounds is 0"),
        ("seed = -1", "seed is 0 or more"),
        ("aggregators = 50", "some contribute"),
        ("devices = []", "devices is empty"),
        ('variant = "lazy"', "variant is one of active, curious"),
        ('[dropout]\nkind = "nobodi"', "dropout.kind is one of nobody, exactly"),
        ('[dropout]\nkind = "exactly"', "dropout.share is missing"),
        ('[dropout]\nkind = "exactly"\nshare = 1.5', "dropout is a share, 0 to 1"),
        ("[network]\nloss = 2.0", "chances, 0 to 1"),
        ("[network]\nserver_mbps = 0.0", "above 0"),
        ("[[devices]]\nup_mbps = 0.0", "above 0"),
        ("[[devices]]\nlatency = -1.0", "0 or more"),
        ("[policy.default]\npatience = 0.0", "patience is a number of seconds above 0"),
        ("parties = ", "is no TOML"),
        (f"seed = {2**63}", "is no TOML: a whole number of more than 64 bits"),
        ("dropout = { kind = [] }", "dropout.kind is one of nobody, exactly"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        Scenario.from_toml(text)
    assert "\n" not in str(caught.value)


def test_a_session_plans_for_what_its_dropout_takes_and_for_as_many_colluders_as_that_leaves_room_for() -> None:
    assert Scenario(parties=100, dropout=Exactly(0.1)).planned_losses == 10
    assert Scenario(parties=100, dropout=Exactly(0.1)).planned_colluders == 5
    assert Scenario(parties=10, dropout=Exactly(0.4)).planned_losses == 4
    assert Scenario(parties=10, dropout=Exactly(0.4)).planned_colluders == 0
    assert Scenario(parties=10, dropout=Exactly(0.9)).planned_losses == 4
    assert Scenario(parties=100, dropout=Exactly(0.1), losses=3, colluding=7).planned_losses == 3
    assert Scenario(parties=100, losses=3, colluding=7).planned_colluders == 7


def test_ten_percent_of_fifty_is_five_and_a_third_of_ten_rounds_down() -> None:
    assert Exactly(0.1).planned(50) == 5
    assert Exactly(0.3).planned(10) == 3
    assert Exactly(0.33).planned(10) == 3
    assert Exactly(0.7).planned(10) == 7


def test_kinds_of_devices_have_their_shares_and_the_draw_is_the_seeds() -> None:
    devices = (Device(name="phone", share=0.7), Device(name="laptop", share=0.2), Device(name="server", share=0.1))
    population = Scenario(parties=50, devices=devices, regions=4).population
    names = [device.name for device in population.devices]
    assert (names.count("phone"), names.count("laptop"), names.count("server")) == (35, 10, 5)
    assert set(population.regions) == {0, 1, 2, 3}
    assert Scenario(parties=50, devices=devices, regions=4).population == population
    assert Scenario(parties=50, devices=devices, regions=4, seed=1).population != population


def test_a_generator_is_its_own_for_each_purpose_and_round() -> None:
    draws = {Scenario().chance(purpose, fl_round).random() for purpose in ("network", "dropout") for fl_round in (1, 2)}
    assert len(draws) == 4
    assert Scenario(seed=1).chance("network", 1).random() not in draws


SCENARIOS = sorted(Path(module.__file__).parent.glob("scenarios/*.toml"))


def test_an_unlimited_link_is_written_as_infinity() -> None:
    network = Network(server_mbps=10.0)
    assert Scenario.from_toml("[network]\nserver_mbps = inf").network.server_mbps == math.inf
    assert Scenario.from_toml(Scenario(network=network).to_toml()).network == network
