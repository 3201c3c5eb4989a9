"""What a study shows: guide.py judges runs by the metrics guide, answering.py answers in five lines."""
