"""Smart Tuner TTS: finds the hyperparameters of a Tacotron 2 for a voice corpus."""

__version__ = "0.1.0"
