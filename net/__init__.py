"""Carries the protocols' machines between processes: TLS, frames, files, and how long to wait.

It knows no model and no tensor: what is trained is a `Workload`, its state an opaque payload.
"""
