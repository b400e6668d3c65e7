"""The greedy policy step for TensorFlow Lite and ONNX."""
