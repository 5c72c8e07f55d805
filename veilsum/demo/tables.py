"""What the demo shows: a line while a round ends, a table at the end."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from veilsum.demo.options import FIRST_LOSS
from veilsum.demo.plan import Plan
from veilsum.demo.results import Results, RoundResult, Scores


def show_plan(console: Console, plan: Plan) -> None:
    options = plan.options
    stands = f"{_count(plan.colluding, 'colluding bank')}{' beside the coordinator' if plan.has_coordinator else ''}"
    numbers = ", ".join(f"{name} = {value}" for name, value in {"c": plan.colluding, **plan.numbers}.items())
    console.print(
        f"{options.banks} banks, {options.variant.value} {plan.family.name}: stands {stands} "
        f"and {_count(options.lose, 'lost bank')} ({numbers}){_graph(plan)}{_epoch(plan)}"
    )
    if plan.lost:
        console.print(
            f"{', '.join(plan.lost)}: killed in training round {FIRST_LOSS}, "
            f"when the {plan.stage.value} message is ready and has not left"
        )


def _graph(plan: Plan) -> str:
    """A sparse graph of few banks has every edge."""
    return "; the graph is complete" if plan.numbers.get("k") == plan.options.banks - 1 else ""


def _epoch(plan: Plan) -> str:
    rounds = plan.options.rounds_per_epoch
    return f"; {rounds} sums follow one exchange of keys" if rounds > 1 else ""


def show_round(console: Console, result: RoundResult) -> None:
    lost = "".join(f", {drop.bank} dropped at {drop.stage}" for drop in result.dropped)
    console.print(
        f"round {result.round}: the sum of {_count(len(result.included), 'bank')}{lost}, AUC {result.auc:.4f}"
    )


def show_results(console: Console, results: Results) -> None:
    console.print(_rounds(results))
    console.print(_scores(results.auc))
    if results.exact:
        console.print("every sum is exact: element by element what the included banks encoded")
    else:
        console.print("[bold red]a sum differs from what the included banks encoded[/]")


def _rounds(results: Results) -> Table:
    table = Table(
        *("round", "in the sum", "dropped", "absent", "exact"),
        title=f"Training rounds, summed by {results.protocol}",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for heading in ("bytes up", "seconds", "AUC"):
        table.add_column(heading, justify="right")
    for result in results.rounds:
        table.add_row(
            str(result.round),
            _numbers(result.included),
            ", ".join(f"{_numbers([drop.bank])} at {drop.stage}" for drop in result.dropped),
            _numbers(result.absent),
            "yes" if result.exact else "NO",
            f"{result.bytes_up_per_bank:,}",
            f"{result.seconds:.2f}",
            f"{result.auc:.4f}",
        )
    return table


def _scores(scores: Scores) -> Table:
    table = Table("trained on", title="AUC on one held-out set", box=SIMPLE_HEAD)
    table.add_column("AUC", justify="right")
    for bank, auc in scores.alone.items():
        table.add_row(f"{bank} alone", f"{auc:.4f}")
    table.add_section()
    table.add_row("federated", f"{scores.federated:.4f}", style="bold")
    table.add_row("all tables in one place", f"{scores.pooled:.4f}")
    return table


def _numbers(banks: list[str]) -> str:
    """bank-1, bank-2 -> 1 2: a line of the table holds them all."""
    return " ".join(bank.removeprefix("bank-") for bank in banks)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
