"""A study in charts and pictures: runs.py over the training, matters.py and slices.py by parameter."""
