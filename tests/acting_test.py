"""Tests of `load_policy`: actions and mistakes."""
