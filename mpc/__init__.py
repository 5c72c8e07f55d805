"""Arithmetic and primitives: knows no protocol, no bytes on a wire, no time."""
