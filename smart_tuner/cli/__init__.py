"""The command line: a mode each."""
