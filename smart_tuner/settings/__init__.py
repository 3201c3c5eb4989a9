"""Settings: everything that can be set, its ranges and presets, and how a file and --set change them."""
