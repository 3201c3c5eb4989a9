"""Execution: where trials run, and who writes down what they tell."""
