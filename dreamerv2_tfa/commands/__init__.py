"""What `bin/` runs: flags, gin, one call."""
