"""From the published package (dreamerv2 2.2.0): its weights, its episodes."""
