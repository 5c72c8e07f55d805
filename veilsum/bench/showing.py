"""The report for people: a line a figure, each with what it is compared with."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

Row = tuple[str, str, str]
Report = Mapping[str, Any]


def show(console: Console, report: Report) -> None:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("figure", "measured", "beside its floor"):
        table.add_column(heading)
    for row in chain(rows(report), protocol_rows(report["protocols"])):
        table.add_row(*row)
    console.print(table)


def rows(report: Report) -> Iterator[Row]:
    without = "no: there was no C compiler when veilsum was installed"
    yield "compiled loops", "yes" if report["compiled_loops"] else without, ""
    yield "AES-128-CTR", f"{report['aes_ctr_gbps']} GB/s", "is the floor of masks, one thread"
    for row in report["mask"]:
        name = f"add masks, {row['bits']} bits, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        yield name, f"{row['gbps']} GB/s", f"{row['ratio_to_aes']} of AES-CTR on one thread"
    gains = report["threads"]
    yield "two threads over one", f"{gains['two_over_one']}x", f"raw AES-CTR {gains['raw_aes_two_over_one']}x"
    for name in ("share", "reconstruct"):
        row = report[name]
        where = f"n = {row['n']}, t = {row['t']}"
        yield f"{name}, {where}", f"{row['ms']} ms", f"{row['times_faster']}x faster than secret by secret"
    for row in report["unmask"]:
        lost = f"{100 * row['dropout']:.0f} % lost"
        yield f"unmask, n = {row['n']}, m = {row['m']:,}, {lost}", f"{row['seconds']} s", f"{row['ratio']}x"
    for row in report["client"]:
        where = f"n = {row['n']:,}, k = {row['degree']}, m = {row['m']:,}, {row['variant']}"
        yield f"{row['protocol']} client, {where}", f"{row['seconds']} s", f"{row['ratio']}x"
    row = report["round"]
    name = f"round over TLS, {row['parties']} parties, m = {row['m']:,}"
    yield name, f"{row['secure_seconds']} s", f"{row['ratio']}x of the round in clear"
    yield "pack and unpack", f"{report['pack']['gbps']} GB/s", f"memcpy {report['pack']['memcpy_gbps']} GB/s"
    for peer, found in report["peers"].items():
        for figure, value in found.items():
            yield f"{peer}: {figure.replace('_', ' ')}", str(value), ""


def protocol_rows(found: Report) -> Iterator[Row]:
    """What sets the protocols apart. No floors here: each stands beside its first size, or beside another protocol."""
    for name in ("secagg+", "secagg"):
        for row in found[name]:
            where = f"{name} client, n = {row['n']:,}, k = {row['degree']}, m = {row['m']:,}"
            size = f"{row['bytes_up']:,} B up, {row['bytes_down']:,} B down"
            yield where, f"{row['seconds']} CPU s; {size}", f"{row['ratio_to_first']}x the time of the first n"
    grown, (first, last) = found["growth"], found["growth"]["n"]
    measured = f"{grown['seconds_ratio']}x the time, {grown['bytes_ratio']}x the bytes"
    yield f"secagg+ client, n = {first:,} to {last:,}", measured, f"log n {grown['log_ratio']}x, n {last / first:.0f}x"
    for name in ("seconds", "bytes"):
        fit = grown[f"r2_{name}"]
        yield f"secagg+ client, {name} on a line in log2 n", f"R2 {fit['log2_n']}", f"in n: R2 {fit['linear_n']}"
    for row, other in zip(found["lightsecagg"], found["secagg_server"], strict=True):
        where = f"lightsecagg server, n = {row['n']}, m = {row['m']:,}, {100 * row['dropout']:.0f} % lost"
        yield where, f"{row['server_seconds']} CPU s", f"secagg's server: {other['server_seconds']} CPU s"
    for row in found["messages"]:
        count = row["client_messages"]
        measured = f"{count} message{'s' * (count > 1)}, {row['client_bytes']:,} B"
        yield f"{row['protocol']}, a party sends, n = {row['n']}, m = {row['m']:,}", measured, ""
    spent = found["epochs"]
    one, apart = (
        f"{cost['messages']} messages, {cost['bytes_up']:,} B up, {cost['cpu_seconds']} CPU s"
        for cost in (spent["epoch"], spent["sessions"])
    )
    yield f"{spent['rounds']} sums in one epoch, n = {spent['n']}", one, f"in sessions: {apart}"
