"""Pictures; only these files import matplotlib. plots.py: of a training, charts.py: of a study."""
