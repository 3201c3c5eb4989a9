"""Search spaces: what trials may differ in, read from YAML and checked before anything runs."""
