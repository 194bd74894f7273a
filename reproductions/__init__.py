"""Published experiments, redone."""
