"""Keras' strided convolutions, where the map is small as matrix products.

The numbers are the same; libraries for CPUs have slow paths for such maps
(`benchmarks/NOTES.md` has the figures).
"""

import tensorflow as tf

_SMALL_MAP = 4  # output positions up to which patches are cut out and joined


class Convolution(tf.keras.layers.Conv2D):
  """Convolution without padding, `[N, H, W, I]` to `[N, h, w, O]`."""

  def call(self, inputs):
    height, width = self.compute_output_shape(inputs.shape)[1:3]
    if height * width > _SMALL_MAP:
      return super().call(inputs)
    (rows, columns), (down, right) = self.kernel_size, self.strides
    patches = tf.stack([
        inputs[:, i:i + rows, j:j + columns]
        for i in range(0, height * down, down)
        for j in range(0, width * right, right)
    ], 1)
    kernel = tf.reshape(self.kernel, [-1, self.filters])
    outputs = tf.matmul(
        tf.reshape(patches, [-1, kernel.shape[0]]), kernel
    )
    outputs = tf.nn.bias_add(outputs, self.bias)
    return tf.reshape(outputs, [-1, height, width, self.filters])


class TransposedConvolution(tf.keras.layers.Conv2DTranspose):
  """Transposed convolution without padding; from one point, `x K` alone."""

  def call(self, inputs):
    if inputs.shape[1:3] != (1, 1):
      return super().call(inputs)
    kernel = tf.reshape(self.kernel, [-1, inputs.shape[-1]])  # [h w O, I]
    points = tf.reshape(inputs, [-1, inputs.shape[-1]])
    outputs = tf.matmul(points, kernel, transpose_b=True)
    outputs = tf.reshape(outputs, [-1, *self.kernel_size, self.filters])
    return tf.nn.bias_add(outputs, self.bias)
