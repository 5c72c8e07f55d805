"""Secure aggregation as machines without I/O: no sockets, no files, no clock, no threads."""
