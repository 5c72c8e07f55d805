"""What sets the protocols apart, as `veilsum bench` measures it: JSON, table and a picture of four panels.

    python -m benchmarks.plot_protocols --measure --out docs/

measures these figures alone (a minute of processor time), writes benchmarks/results/protocols.json, the table in
benchmarks.md under `--out` and the picture in figures/ beside it. Without --measure it shows what is there.
"""

from pathlib import Path
from typing import Any, Final

from benchmarks.plot_bench import Report, arguments, load, save, table, write_table
from veilsum.bench import comparing
from veilsum.bench.measuring import Scale
from veilsum.bench.showing import protocol_rows

RESULTS: Final = Path(__file__).parent / "results" / "protocols.json"
BLUE, ORANGE = "#0072b2", "#e69f00"


def page_table(report: Report) -> str:
    return table(report, protocol_rows(report["protocols"]), "beside")


def plot(path: Path, found: Report) -> None:
    """Two shades that differ in brightness too, and two kinds of line or hatching."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axes, draw in zip(panels.flat, (_clients, _servers, _sums, _messages), strict=True):
        draw(axes, found)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _clients(axes: Any, found: Report) -> None:
    _two_lines(axes, [(name, found[name], "n", "seconds") for name in ("secagg+", "secagg")])
    axes.set_xscale("log")
    axes.set_title("One client's work")
    axes.set_xlabel("parties n (logarithmic)")
    axes.set_ylabel("CPU seconds of the client")


def _servers(axes: Any, found: Report) -> None:
    lines = (("lightsecagg", "lightsecagg"), ("secagg", "secagg_server"))
    _two_lines(axes, [(name, found[key], "dropout", "server_seconds") for name, key in lines])
    row = found["lightsecagg"][0]
    axes.set_title(f"The server's work, n = {row['n']}, m = {row['m']:,}")
    axes.set_xlabel("part of the parties that is lost")
    axes.set_ylabel("CPU seconds of the server")


def _two_lines(axes: Any, lines: list[tuple[str, list[Report], str, str]]) -> None:
    for (name, rows, x, y), shade, style, marker in zip(lines, (BLUE, ORANGE), "-:", "os", strict=True):
        places, values = [row[x] for row in rows], [row[y] for row in rows]
        axes.plot(places, values, color=shade, linestyle=style, marker=marker, linewidth=2, label=name)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _sums(axes: Any, found: Report) -> None:
    spent = found["epochs"]
    values = [spent[name]["messages"] for name in ("sessions", "epoch")]
    _bars(axes, [f"{spent['rounds']} sessions", f"one epoch of {spent['rounds']}"], values)
    axes.set_title(f"{spent['rounds']} sums")
    axes.set_ylabel("messages of a client")


def _messages(axes: Any, found: Report) -> None:
    rows = sorted(found["messages"], key=lambda row: row["client_messages"])
    _bars(axes, [row["protocol"] for row in rows], [row["client_messages"] for row in rows])
    axes.set_yscale("log")
    axes.set_ylim(0.5, 3 * rows[-1]["client_messages"])
    axes.set_title(f"One sum, n = {rows[0]['n']}")
    axes.set_ylabel("messages of a client (logarithmic)")


def _bars(axes: Any, names: list[str], values: list[int]) -> None:
    shades = [BLUE if value == min(values) else ORANGE for value in values]
    hatches = ["" if value == min(values) else "//" for value in values]
    bars = axes.bar(names, values, color=shades, hatch=hatches, edgecolor="black", linewidth=0.6, width=0.6)
    axes.bar_label(bars, padding=2)
    axes.margins(y=0.12)


def main() -> None:
    given = arguments("What sets the protocols apart: JSON, table and a picture.")
    if given.measure:
        save(RESULTS, given.quick, {"protocols": comparing.measure(Scale(given.quick))})
    report = load(RESULTS)
    write_table(given.out / "benchmarks.md", page_table(report), "protocols")
    plot(given.out / "figures" / "protocols.png", report["protocols"])


if __name__ == "__main__":
    main()
