"""Pictures; only these files import matplotlib. plots.py: of a training; charts.py, scales.py, svg.py: of a study."""
