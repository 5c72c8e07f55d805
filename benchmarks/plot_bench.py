"""The figures of `veilsum bench`, each beside its floor: JSON, table and plot.

    python -m benchmarks.plot_bench --measure --out docs/

measures this machine (ten minutes, best with nothing else running), writes benchmarks/results/bench.json, the table in
benchmarks.md under `--out` and the plot in figures/ beside it. Without --measure it shows the results that are there.
"""

import argparse
import json
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from net import cores
from veilsum.bench.figures import take
from veilsum.bench.measuring import Scale
from veilsum.bench.showing import Row, rows, show

RESULTS: Final = Path(__file__).parent / "results" / "bench.json"
Report = dict[str, Any]


def measure(quick: bool) -> None:
    console = Console(stderr=True, highlight=False)
    report = take(Scale(quick), lambda name: console.print(f"measuring {name}"))
    show(console, report)
    save(RESULTS, quick, report)


def save(path: Path, quick: bool, report: Report) -> None:
    """With what it was taken on."""
    setting = {"cores": cores.available(), "machine": platform.machine(), "python": platform.python_version()}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"setting": setting, "quick": quick, **report}, indent=1) + "\n")


def load(path: Path = RESULTS) -> Report:
    """What is in the repository."""
    found: Report = json.loads(path.read_text())
    return found


# --- what is shown


def table(report: Report, shown: Iterable[Row], beside: str = "beside its floor") -> str:
    lines = [f"| figure | measured | {beside} |", "| --- | --- | --- |"]
    setting = report["setting"]
    taken = f"{setting['cores']} cores, {setting['machine']}, Python {setting['python']}"
    sizes = "the smaller sizes of `--quick`" if report["quick"] else "full sizes"
    return "\n".join([f"{taken}; {sizes}.", "", *lines, *(f"| {' | '.join(row)} |" for row in shown)])


def write_table(page: Path, lines: str, mark: str = "table") -> None:
    """Put the table in its place in the page."""
    before, _, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition("<!-- end -->\n")
    page.write_text(f"{before}<!-- {mark} -->\n{lines}\n<!-- end -->\n{after}")


def over_floor(report: Report) -> Iterator[tuple[str, float]]:
    """(figure, its time over that of its floor)."""
    for row in report["mask"]:
        if row["threads"] == 1:
            yield f"masks, {row['bits']} bits", 1 / row["ratio_to_aes"]
    for row in report["unmask"]:
        yield f"server unmasks\nn = {row['n']}, {100 * row['dropout']:.0f} % lost", row["ratio"]
    for row in report["client"]:
        yield f"{row['protocol']} client, {row['variant']}\nn = {row['n']}, k = {row['degree']}", row["ratio"]
    yield "round over TLS\nover it in clear", report["round"]["ratio"]
    yield "pack and unpack\nover memcpy", report["pack"]["memcpy_gbps"] / report["pack"]["gbps"]


def faster(report: Report) -> Iterator[tuple[str, float]]:
    """(what the other does, how many times longer it takes)."""
    for name in ("share", "reconstruct"):
        yield f"pycryptodome\n{name}, n = {report[name]['n']}", report[name]["times_faster"]
    for peer, found in report["peers"].items():
        for figure, value in found.items():
            if figure.endswith("_times_faster"):
                yield f"{peer}\n{figure.removesuffix('_times_faster').replace('_', ' ')}", value


def plot(path: Path, report: Report) -> None:
    """Bars on a logarithmic axis, the floor as a line. Hatching and brightness tell the two halves apart."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 5), layout="constrained")
    _bars(left, list(over_floor(report)), "#56b4e9", "time over the floor's (the line: equal)", "{:.2f}")
    _bars(right, list(faster(report)), "#e69f00", "the other's time over ours (the line: equal)", "{:,.0f}")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _bars(axes: Any, found: list[tuple[str, float]], shade: str, label: str, number: str) -> None:
    names, values = zip(*reversed(found), strict=True)
    axes.barh(names, values, color=shade, edgecolor="black", linewidth=0.6, height=0.65)
    for place, value in enumerate(values):
        beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "size": 8}
        axes.annotate(number.format(value), (value, place), **beside)
    axes.axvline(1, color="black", linewidth=1.6)
    axes.set_xscale("log")
    axes.set_xlim(min(0.7, *values), max(values) ** 1.2 * 6)  # on a scale of logarithms a label takes a part of all
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel(label)


def main() -> None:
    given = arguments("Figures beside their floors: JSON, table and plot.")
    if given.measure:
        measure(given.quick)
    write_table(given.out / "benchmarks.md", table(load(), rows(load())))
    plot(given.out / "figures" / "benchmarks.png", load())


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="the folder of benchmarks.md")
    parser.add_argument("--measure", action="store_true", help="measure first, in place of the results that are there")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, within a minute")
    return parser.parse_args()


if __name__ == "__main__":
    main()
