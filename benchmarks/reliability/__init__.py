"""The real network under faults, load and abuse: real processes on the loopback, and a proxy between them that breaks
their connections by a plan.

    python -m benchmarks.reliability soak | load | abuse
"""
