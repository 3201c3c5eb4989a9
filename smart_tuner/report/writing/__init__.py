"""A report written down: pages.py as HTML, Markdown, JSON and in the terminal, note.py for MLflow."""
