"""MLflow: only these files import it. tracker.py writes a study's runs, reader.py reads what was logged."""
