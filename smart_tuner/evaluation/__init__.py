"""Evaluation: how a model does, on the same utterances every time and speaking freely."""
