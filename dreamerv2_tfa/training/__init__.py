"""The training loop, evaluation, checkpoints, metrics and progress."""
