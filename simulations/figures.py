"""Figures of a run and of a sweep: everything that needs matplotlib.

For print and for readers who tell few colours apart: the colours of Okabe and Ito, each with a marker or a hatch of its
own, no title that a caption says better, no text below 8 points.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from simulations.simulate import Report, RoundResult

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS: Final = "osD^vP"
LINES: Final = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "ooo")
_WIDTH: Final = 6.6  # inches
_STYLE: Final[Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
}
_DPI: Final = 110
_COLOURS: Final = 48


@contextmanager
def _figure(height: float, columns: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def png(figure: Figure) -> bytes:
    """The same bytes for the same figure; of few colours, so that a page with some of them stays small."""
    drawn, small = BytesIO(), BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(drawn, format="png", dpi=_DPI)
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()


def timeline(one: RoundResult) -> Figure:
    """Each round from its opening to its close, a mark for each answer, and who was awaited in vain."""
    with _figure(0.7 + 0.38 * len(one.phases)) as (figure, (axes,)):
        end = max(phase.closed for phase in one.phases)
        for place, phase in enumerate(one.phases):
            axes.barh(place, phase.closed - phase.opened, left=phase.opened, height=0.62, color="#cfe3f1", lw=0)
            axes.plot(phase.arrivals, [place] * len(phase.arrivals), "|", color=COLOURS[0], ms=9, mew=0.7)
            axes.plot([phase.closed] * 2, [place - 0.36, place + 0.36], color="black", lw=1.4)
            axes.text(1.02, place, _awaited(phase.answered, phase.asked), va="center", transform=_at_the_right(axes))
        axes.set_yticks(range(len(one.phases)), [phase.name for phase in one.phases])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, end * 1.02)
        axes.set_xlabel("virtual seconds; a mark for each answer that was handled, a line where the round closed")
    return figure


def _awaited(answered: int, asked: int) -> str:
    return f"{answered} of {asked} answered" if answered < asked else f"all {asked}"


def _at_the_right(axes: Axes) -> Any:
    return mpl.transforms.blended_transform_factory(axes.transAxes, axes.transData)


def bytes_by_phase(reports: Sequence[Report]) -> Figure:
    """What all parties sent and were sent, round by round of the protocol; one panel a protocol."""
    with _figure(3.0, len(reports)) as (figure, panels):
        for axes, report in zip(panels, reports, strict=True):
            stages = report.rounds[0].bytes_by_stage
            places = range(len(stages))
            for way, (label, shift) in enumerate((("from the parties", -0.2), ("to them", 0.2))):
                sizes = [pair[way] / 1e3 / report.scenario.parties for pair in stages.values()]
                if any(sizes):
                    bars: Any = {"color": COLOURS[way], "hatch": HATCHES[way], "edgecolor": "white", "label": label}
                    axes.barh([place + shift for place in places], sizes, height=0.38, lw=0, **bars)
            axes.set_yticks(places, list(stages))
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
            axes.set_title(report.scenario.protocol, fontsize=9)
            axes.set_xlabel("kB a party")
        figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside upper center", ncols=2)
    return figure


def recovery_cost(table: pd.DataFrame, dropout: str, series: str) -> Figure:
    """Seconds from the last input to the sum, and the masks that the server expands, against the losses."""
    with _figure(2.9, 2) as (figure, (left, right)):
        done = table[table["aborted"].isna()]
        for place, (name, rows) in enumerate(_groups(done, series)):
            mean = rows.groupby(dropout)[["recovery_seconds", "server_masks_expanded"]].mean()
            _line(left, mean["recovery_seconds"], place, name)
            if mean["server_masks_expanded"].notna().any():
                _line(right, mean["server_masks_expanded"], place, name)
        left.set_ylabel("virtual seconds after the last input")
        right.set_ylabel("masks expanded by the server")
        for axes in (left, right):
            _dropout_axis(axes)
            axes.set_ylim(bottom=0)
        left.legend(fontsize=8)
    return figure


def success(table: pd.DataFrame, dropout: str, series: str) -> Figure:
    """The share of the sessions that ended with the exact sum, by threshold."""
    with _figure(2.9) as (figure, (axes,)):
        rows = table.assign(done=table["exact"].eq(True))
        for place, (name, own) in enumerate(_groups(rows, series)):
            _line(axes, own.groupby(dropout)["done"].mean(), place, name)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel("sessions with the exact sum")
        _dropout_axis(axes)
        axes.legend(fontsize=8)
    return figure


def comparison(table: pd.DataFrame) -> Figure:
    """Protocols beside one another: bytes up, bytes down, virtual seconds; the mean over their sessions with a sum."""
    measures = {
        "bytes_up_per_client": ("kB up a party", 1e3),
        "bytes_down_per_client": ("kB down a party", 1e3),
        "virtual_seconds": ("virtual seconds", 1.0),
    }
    with _figure(2.2, len(measures)) as (figure, panels):
        done = table[table["aborted"].isna()]
        names = list(dict.fromkeys(table["protocol"]))
        for axes, (column, (label, unit)) in zip(panels, measures.items(), strict=True):
            means = done.groupby("protocol")[column].mean() / unit
            values = [means.get(name, 0.0) for name in names]
            colours = [COLOURS[place % len(COLOURS)] for place in range(len(names))]
            bars = axes.barh(names, values, color=colours, lw=0, height=0.6)
            axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=2, fontsize=8)
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
            axes.set_xlim(right=1.28 * max(values))
            axes.set_xlabel(label)
        for axes in panels[1:]:
            axes.set_yticklabels([])
    return figure


def _groups(table: pd.DataFrame, series: str) -> Iterable[tuple[str, pd.DataFrame]]:
    return [(name, table[table[series] == name]) for name in dict.fromkeys(table[series])]


def _line(axes: Axes, values: pd.Series, place: int, label: str) -> None:
    style: Any = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
    style |= {"ms": 7 - place % 4, "lw": 2 - 0.3 * (place % 4), "ls": LINES[place % len(LINES)]}  # none hides another
    axes.plot(values.index, values.to_numpy(), label=label, **style)


def _dropout_axis(axes: Axes) -> None:
    axes.set_xlabel("share of the parties that vanish")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
