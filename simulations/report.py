"""A page for people: figures and a table, in one file that needs no other, and the figures beside it as PNGs."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Final

import pandas as pd

from simulations import figures
from simulations.scenario import Scenario
from simulations.simulate import Report, simulate

_DROPOUTS: Final = ("dropout.share", "dropout.rate")

_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
figure { margin: 2rem 0; break-inside: avoid } img { max-width: 100% } figcaption { font-size: .9rem; color: #444 }
table { border-collapse: collapse; font-size: .85rem } th, td { padding: .15rem .6rem; text-align: right }
th { border-bottom: 1px solid #888; font-weight: 600 } pre { background: #f4f4f4; padding: .8rem; overflow-x: auto }
</style></head><body><h1>$title</h1><p>$summary</p>
$figures
$table
<h2>How to make it again</h2><pre>$command</pre><pre>$scenario</pre></body></html>
""")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure. name: of its file, without the ending."""

    name: str
    caption: str
    png: bytes


def report_of_run(report: Report, folder: Path, *, command: str) -> None:
    """Of one scenario: its first round, and every round in the table."""
    scenario = report.scenario
    rows = pd.DataFrame([_told(report, place) for place in range(len(report.rounds))])
    sums = sum(one.exact is True for one in report.rounds)
    summary = f"{len(report.rounds)} sessions of {scenario.parties} parties, {sums} with the exact sum."
    _write(folder, f"{scenario.protocol}, simulated", summary, _of_runs([report]), rows, scenario, command)


def report_of_sweep(table: pd.DataFrame, scenarios: Mapping[str, Scenario], folder: Path, *, command: str) -> None:
    """Of a sweep's table. scenarios: one of each protocol, run once more for the figures of single rounds."""
    drawn = [*_of_sweep(table), *_of_runs([simulate(scenario) for scenario in scenarios.values()])]
    sums, aborted = int(table["exact"].eq(True).sum()), int(table["aborted"].notna().sum())
    summary = (
        f"{len(table)} sessions: {sums} with the exact sum, {aborted} without one, {wrong(table)} with a wrong one."
    )
    _write(folder, "Simulated sessions", summary, drawn, _means(table), next(iter(scenarios.values())), command)


def wrong(table: pd.DataFrame) -> int:
    """Sums that are not the sum of exactly those that they name."""
    return int(table["exact"].eq(False).sum())


def _of_runs(reports: list[Report]) -> list[Drawn]:
    lines = [
        Drawn(
            f"timeline-{_file(report.scenario.protocol)}",
            f"One round of {report.scenario.protocol}: who was awaited, and when each of its rounds closed.",
            figures.png(figures.timeline(report.rounds[0])),
        )
        for report in reports
        if report.rounds[0].phases
    ]
    sizes = "What one party sends and is sent in each round, on average, with frames."
    return [*lines, Drawn("bytes", sizes, figures.png(figures.bytes_by_phase(reports)))]


def _of_sweep(table: pd.DataFrame) -> list[Drawn]:
    drawn = []
    if len(set(table["protocol"])) > 1:
        caption = "The protocols beside one another: means over all sessions with a sum."
        drawn.append(Drawn("protocols", caption, figures.png(figures.comparison(table))))
    dropout = _dropout(table)
    if dropout is None:
        return drawn
    table = table.assign(series=_series(table, dropout))
    cost = "What losses cost: the time from the last input to the sum, and the masks that the server takes off for it."
    odds = "How often there is a sum. The threshold t is how many answers the protocol needs to take the masks off."
    return [
        *drawn,
        Drawn("recovery", cost, figures.png(figures.recovery_cost(table, dropout, "series"))),
        Drawn("success", odds, figures.png(figures.success(table, dropout, "series"))),
    ]


def _dropout(table: pd.DataFrame) -> str | None:
    """The column that says how many vanish, where a sweep varies it."""
    return next((name for name in _DROPOUTS if name in table), None)


def _series(table: pd.DataFrame, dropout: str) -> list[str]:
    """A line of a figure: a protocol; each of its thresholds by itself where it does not vary with the losses."""
    spread = table.groupby(["protocol", "threshold"])[dropout].nunique() == table[dropout].nunique()
    fixed = spread.groupby("protocol").all()
    return [
        f"{protocol}, t = {threshold:.0f}" if fixed.get(protocol, False) else protocol
        for protocol, threshold in zip(table["protocol"], table["threshold"], strict=True)
    ]


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each protocol and share of losses."""
    dropout = _dropout(table)
    columns = ["virtual_seconds", "bytes_up_per_client", "bytes_down_per_client", "server_masks_expanded"]
    sessions = _series(table, dropout) if dropout else table["protocol"]
    told = table.assign(session=sessions, sums=table["exact"].eq(True))
    groups = told.groupby(["session", *([dropout] if dropout else [])], sort=False)
    means = groups[columns].mean()
    means.insert(0, "sessions", groups.size())
    means.insert(1, "with a sum", groups["sums"].sum())
    return means.reset_index()


def _told(report: Report, place: int) -> dict[str, object]:
    one = report.rounds[place]
    return {
        "round": one.fl_round,
        "in the sum": len(one.included),
        "lost": len({lost.party for lost in one.dropped}),
        "exact": one.aborted or ("yes" if one.exact else "NO"),
        "virtual seconds": one.virtual_seconds,
        "bytes up": one.bytes_up_per_client,
        "bytes down": one.bytes_down_per_client,
    }


def _write(
    folder: Path, title: str, summary: str, drawn: list[Drawn], table: pd.DataFrame, scenario: Scenario, command: str
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in drawn:
        (folder / f"{one.name}.png").write_bytes(one.png)
    page = _PAGE.substitute(
        title=escape(title),
        summary=escape(summary),
        figures="\n".join(map(_figure, drawn)),
        table=table.to_html(index=False, border=0, float_format=lambda value: f"{value:,.3f}".rstrip("0").rstrip(".")),
        command=escape(command),
        scenario=escape(scenario.to_toml()),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def _figure(one: Drawn) -> str:
    source = base64.b64encode(one.png).decode()
    text = escape(one.caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{source}"><figcaption>{text}</figcaption></figure>'


def _file(protocol: str) -> str:
    return protocol.replace("+", "-plus")
