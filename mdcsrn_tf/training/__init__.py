"""Training: settings, state, loop, and what is kept of a run."""
