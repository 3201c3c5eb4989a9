"""Pictures. Only this folder imports matplotlib: plots of a training, charts of a study."""
