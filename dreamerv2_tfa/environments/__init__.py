"""Tasks by name: each suite as TF-Agents environments."""
