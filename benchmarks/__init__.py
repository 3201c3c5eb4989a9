"""Measurements that docs/benchmarks.md quotes; the Makefile runs speed and tune, the others run by name."""
