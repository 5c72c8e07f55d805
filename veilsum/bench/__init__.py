"""Rates of this machine, measured. What needs one is handed the number: nothing below this package has a clock."""
