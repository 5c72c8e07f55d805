"""The demo: a consortium of banks on this machine, each its own process, trains a fraud model and loses banks."""
