"""From environment steps to model inputs: collection, replay, sequences."""
