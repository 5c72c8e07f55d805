"""`veilsum advise`."""

from typing import TYPE_CHECKING, Annotated

import click
import typer

if TYPE_CHECKING:
    from protocols.advisor import Advice

ADVERSARIES = ("curious", "semi-malicious", "malicious")


def advise(
    parties: Annotated[int, typer.Option(min=3, max=1_000_000, help="How many take part.", show_default=False)],
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Fraction that is lost.", show_default=False)],
    corrupt: Annotated[
        float, typer.Option(min=0, max=0.99, help="Fraction that may side with the coordinator.", show_default=False)
    ],
    adversary: Annotated[
        str, typer.Option(click_type=click.Choice(ADVERSARIES), help="What the coordinator may be.")
    ] = "malicious",
    dimension: Annotated[int, typer.Option(min=1, max=2**28, help="Values in a vector.")] = 100_000,
    bits: Annotated[int, typer.Option(min=2, max=32, help="Bits of one party's value.")] = 16,
    bandwidth: Annotated[float | None, typer.Option(metavar="MBPS", help="Mbit/s of one party's link.")] = None,
    latency: Annotated[float | None, typer.Option(metavar="MS", help="Milliseconds there and back.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """What each protocol would cost and withstand for so many parties, and which to take.

    Seconds need --bandwidth and --latency; the rate of keystream is measured on this machine.
    """
    from protocols.advisor import advise
    from veilsum.bench.keystream import keystream_gbps
    from veilsum.errors import WrongUsage

    rate = keystream_gbps()
    try:
        advice = advise(
            parties,
            dropout,
            corrupt,
            adversary=adversary,
            dimension=dimension,
            bits=bits,
            bandwidth_mbps=bandwidth,
            latency_ms=latency,
            keystream_gbps=rate,
        )
    except ValueError as exc:
        raise WrongUsage(str(exc)) from exc
    _show(advice, rate, json)


def _show(advice: "Advice", rate: float, json: bool) -> None:
    from rich.console import Console

    from veilsum.advice import show_advice, to_json

    show_advice(Console(stderr=json, highlight=False), advice, rate)
    if json:
        typer.echo(to_json(advice, rate))
