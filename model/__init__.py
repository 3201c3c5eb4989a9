"""Tacotron 2 in pure torch: the network, its losses and its attention statistics. Import the modules by name."""
