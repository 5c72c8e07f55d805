"""Two ways of the shell that the command line's library does not know."""

from typing import Final

import click
from typer.core import TyperCommand, TyperGroup

RUN: Final = "run"


class RunByDefault(TyperGroup):
    """`veilsum party CONFIG.toml` runs; `veilsum party init ...` is a command: the first word decides."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


class ManyMembers(TyperCommand):
    """`--members a.card b.card c.card`, as the shell writes `--members *.card`: all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _spread(args, "--members"))


def _spread(args: list[str], option: str) -> list[str]:
    """`option a b` -> `option a option b`."""
    spread: list[str] = []
    after = False  # at the second or a later value
    for place, word in enumerate(args):
        if word.startswith("-"):
            after = False
        elif after:
            spread.append(option)
        spread.append(word)
        after = after or (place > 0 and args[place - 1] == option)
    return spread
