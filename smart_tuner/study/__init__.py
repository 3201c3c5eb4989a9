"""Studies: which trials are trained, what their outcomes mean to Optuna, and what is concluded from them."""
