"""From a voice corpus to batches: text, audio, corpus, mel cache, batches, and the demo corpus."""
