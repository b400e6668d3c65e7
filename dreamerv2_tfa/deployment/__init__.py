"""A policy that leaves the house: files that run without this package."""
