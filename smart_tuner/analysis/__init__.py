"""Analysis: what finished trials say, without Optuna."""
