"""Keras' strided convolutions in the forms that libraries for CPUs run best.

The numbers are the same; those libraries have slow paths for small maps and for
few channels (`benchmarks/NOTES.md` has the figures).
"""

import operator

import tensorflow as tf

_SMALL_MAP = 4  # output positions up to which patches are cut out and joined
_FEW = 8  # channels: fewer than a vector of a CPU holds


class Convolution(tf.keras.layers.Conv2D):
  """Convolution without padding, `[N, H, W, I]` to `[N, h, w, O]`."""

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """`[N, h, w, I]` to `[N, h', w', O]`."""
    height, width = self.compute_output_shape(inputs.shape)[1:3]
    if height * width > _SMALL_MAP:  # pyright: ignore[reportOperatorIssue]
      return super().call(inputs)
    kernel_height, kernel_width = self.kernel_size
    down, right = self.strides
    patches = tf.stack([
        inputs[:, i:i + kernel_height, j:j + kernel_width]
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
  """Transposed convolution without padding, `[N, h, w, I]` to `[N, H, W, O]`.

  From one point it is `x K` alone; to few channels its forward half is a
  `_sub_pixel` convolution.
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """`[N, h, w, I]` to `[N, h', w', O]`."""
    if inputs.shape[1:3] == (1, 1):
      kernel = tf.reshape(self.kernel, [-1, inputs.shape[-1]])  # [h w O, I]
      points = tf.reshape(inputs, [-1, inputs.shape[-1]])
      outputs = tf.matmul(points, kernel, transpose_b=True)
      outputs = tf.reshape(outputs, [-1, *self.kernel_size, self.filters])
    elif self.filters < _FEW and not any(
        map(operator.mod, self.kernel_size, self.strides)):
      outputs = _sub_pixel(
          inputs, tf.convert_to_tensor(self.kernel), self.strides)
    else:
      return super().call(inputs)
    return tf.nn.bias_add(outputs, self.bias)  # pyright: ignore[reportArgumentType]


def _sub_pixel(inputs, kernel, strides):
  """A transposed convolution as one of stride 1 that gives squares of pixels.

  Each position of it gives a square, as large as the stride, of the output
  (Shi et al. 2016). Backward it is what any transposed convolution is: a
  convolution of the gradients, which is fast as it stands.

  Args:
    inputs: `[N, h, w, I]`.
    kernel: `[kernel_height, kernel_width, O, I]`, the same dtype; its sizes are
      multiples of the strides.
    strides: Two ints.

  Returns:
    `[N, (h - 1) * stride + kernel_height, ..., O]`.
  """
  down, right = strides
  kernel_height, kernel_width, filters, channels = kernel.shape
  high, wide = kernel_height // down, kernel_width // right

  @tf.custom_gradient
  def convolve(inputs, kernel):
    parts = tf.reshape(kernel, [high, down, wide, right, filters, channels])
    small = tf.reverse(tf.transpose(parts, [0, 2, 5, 1, 3, 4]), [0, 1])
    squares = tf.nn.conv2d(
        inputs, tf.reshape(small, [high, wide, channels, -1]), 1,
        [[0, 0], [high - 1] * 2, [wide - 1] * 2, [0, 0]])  # pyright: ignore[reportArgumentType]
    height, width = squares.shape[1:3]
    squares = tf.reshape(squares, [-1, height, width, down, right * filters])
    outputs = tf.reshape(
        tf.transpose(squares, [0, 1, 3, 2, 4]),
        [-1, height * down, width * right, filters])

    def gradient(slopes):
      return (
          tf.nn.conv2d(slopes, kernel, strides, 'VALID'),
          tf.raw_ops.Conv2DBackpropFilter(
              input=slopes, filter_sizes=kernel.shape, out_backprop=inputs,
              strides=[1, down, right, 1], padding='VALID'))

    return outputs, gradient

  return convolve(inputs, kernel)
