"""Encoders, decoders, heads and the layer-norm GRU."""
