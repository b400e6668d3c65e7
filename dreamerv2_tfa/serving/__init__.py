"""An exported policy behind HTTP."""
