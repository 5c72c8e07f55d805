"""What a person at the terminal reads when a command cannot go on."""


class Fault(Exception):
    """One line: what went wrong, where, and the remedy."""

    status = 1


class WrongUsage(Fault):
    """The command was asked for something that cannot be."""

    status = 2
