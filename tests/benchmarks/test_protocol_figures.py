"""The page shows what was measured of the protocols, and what it says of the figures is in them."""

import re
from pathlib import Path

from benchmarks.plot_bench import load
from benchmarks.plot_protocols import RESULTS, page_table

PAGE = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
REPORT = load(RESULTS)
FOUND = REPORT["protocols"]


def test_the_page_shows_the_results():
    shown = re.search(r"<!-- protocols -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)
    assert shown
    assert shown[1] == page_table(REPORT)


def test_a_client_is_measured_from_a_hundred_to_ten_thousand_and_follows_the_logarithm():
    assert [row["n"] for row in FOUND["secagg+"]] == [100, 300, 1_000, 3_000, 10_000]
    for fit in (FOUND["growth"]["r2_seconds"], FOUND["growth"]["r2_bytes"]):
        assert fit["log2_n"] > fit["linear_n"]


def test_losses_cost_the_server_of_lightsecagg_nothing_and_that_of_secagg_time():
    light, other = ([row["server_seconds"] for row in FOUND[name]] for name in ("lightsecagg", "secagg_server"))
    assert max(light[1:]) <= 1.1 * light[0]
    assert other[2] > 1.1 * other[0]


def test_a_client_of_a_committee_sends_one_message_and_an_epoch_saves_two_in_five():
    assert FOUND["committee"]["client_messages"] == 1
    assert FOUND["epochs"]["epoch"]["messages"] == 32 < FOUND["epochs"]["sessions"]["messages"] == 50
