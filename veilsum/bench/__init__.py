"""Figures of this machine, each beside its floor, taken in the same run by turns.

What needs a rate is handed the number: nothing below this package has a clock.

One module a figure, each with `measure(scale)`; `figures` lists them. A floor is the primitives alone, through the same
libraries on the same number of cores: what no program around them can be faster than.
"""
