"""The commands beside the demo. Nothing heavy is imported at the top of a module: the help is there at once."""
