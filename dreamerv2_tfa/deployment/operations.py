"""Operations that a SavedModel may have, so that it computes and no more.

TensorFlow's operations also read and write files, and call Python, and a policy
that someone else has put together runs them with its first action.
"""

from collections.abc import Iterable
import pathlib
from typing import Any

from dreamerv2_tfa import reading

_MOST = 2**28  # bytes of a graph, which are some millions
# What a policy may run: numbers in, numbers out. All of what exports of this
# package consist of, and their like for networks of one's own.
_COMPUTING = frozenset('''
Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh
AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND Betainc BiasAdd
Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastTo Bucketize Case
Cast Ceil CheckNumerics ClipByValue Concat ConcatOffset ConcatV2 Const Conv2D
Conv2DBackpropFilter Conv2DBackpropInput Conv3D Cos Cosh Cross Cumprod Cumsum
CumulativeLogsumexp DepthToSpace DepthwiseConv2dNative Diag DiagPart Digamma
DisableCopyOnRead Div DivNoNan Einsum Elu EnsureShape Equal Erf Erfc Erfinv Exp
ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2
FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual Identity
IdentityN If Igamma Igammac Invert InvertPermutation IsFinite IsInf IsNan L2Loss
LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax
LogicalAnd LogicalNot LogicalOr MatMul MatrixBandPart MatrixDiagPartV3
MatrixDiagV3 MatrixSetDiagV3 Max MaxPool MaxPoolV2 Maximum Mean Min Minimum
MirrorPad Mod Mul MulNoNan Ndtri Neg NextAfter NoOp NotEqual OneHot OnesLike
Pack Pad PadV2 ParallelConcat PartitionedCall Placeholder
PlaceholderWithDefault Polygamma Pow PreventGradient Prod Range Rank
ReadVariableOp Real RealDiv Reciprocal Relu Relu6 Reshape ResizeArea
ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse ReverseSequence
ReverseV2 RightShift Rint Roll Round Rsqrt ScatterNd SegmentSum Select SelectV2
Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
StatefulPartitionedCall StatelessCase StatelessIf StatelessMultinomial
StatelessRandomGetAlg StatelessRandomGetKeyCounter
StatelessRandomGetKeyCounterAlg StatelessRandomNormalV2
StatelessRandomUniformFullIntV2 StatelessRandomUniformIntV2
StatelessRandomUniformV2 StatelessTruncatedNormalV2 StatelessWhile StopGradient
StridedSlice Sub Sum Tan Tanh TensorListConcatV2 TensorListElementShape
TensorListFromTensor TensorListGather TensorListGetItem TensorListLength
TensorListReserve TensorListResize TensorListSetItem TensorListStack
TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncateMod Unique
UniqueV2 Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentSum Where
While Xdivy Xlog1py Xlogy ZerosLike Zeta
'''.split())
# What saves and restores variables, by the name of a file. It is in every
# SavedModel, and nothing that a policy runs may reach it.
_SAVING = frozenset('''
AssignVariableOp MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename
StaticRegexFullMatch StringJoin VarHandleOp
'''.split())
# Of the objects that TensorFlow makes; others name files, or code to make them.
_KINDS = (
    'variable', 'bare_concrete_function', 'function', 'user_object',
    'captured_tensor', 'constant',
)


def check(path: pathlib.Path) -> None:
  """Refuses a SavedModel whose graph does more than compute.

  Args:
    path: Of `saved_model.pb`.

  Raises:
    ValueError: If it does: the reason alone.
  """
  from google.protobuf import message
  from tensorflow.core.protobuf import saved_model_pb2

  model: Any = saved_model_pb2.SavedModel()
  try:
    model.ParseFromString(reading.data(path, _MOST))
  except message.DecodeError as error:
    raise ValueError(f'{path.name} is no SavedModel') from error
  if len(model.meta_graphs) != 1 or not (
      model.meta_graphs[0].HasField('object_graph_def')):
    raise ValueError(f'{path.name} has not one graph with its objects')
  graph = model.meta_graphs[0].graph_def
  functions = {
      each.signature.name: each.node_def for each in graph.library.function
  }
  roots = set(_roots(model.meta_graphs[0].object_graph_def))
  reached = _reached(roots, functions)
  _check('the graph', graph.node, _COMPUTING | _SAVING | functions.keys())
  for name, nodes in functions.items():
    known = _COMPUTING if name in reached else _COMPUTING | _SAVING
    _check(f'the function {name!r}', nodes, known | functions.keys())


def _roots(objects):
  """Names of the functions that the model's objects call."""
  for node in objects.nodes:
    kind = node.WhichOneof('kind')
    if kind not in _KINDS or node.registered_name:
      raise ValueError(
          f'it has an object of the kind {node.registered_name or kind!r}'
      )
    if kind == 'function':
      yield from node.function.concrete_functions
    elif kind == 'bare_concrete_function':
      yield node.bare_concrete_function.concrete_function_name


def _reached(roots, functions):
  """Names of the functions that these functions call, and their own."""
  reached, waiting = set(), list(roots)
  while waiting:
    name = waiting.pop()
    if name not in reached:
      reached.add(name)
      waiting.extend(_called(functions.get(name, ()), functions))
  return reached


def _called(nodes: Iterable[Any], functions: Any) -> Iterable[str]:
  for node in nodes:
    if node.op in functions:
      yield node.op
    for value in node.attr.values():
      if value.HasField('func'):
        yield value.func.name
      yield from (each.name for each in value.list.func)


def _check(where, nodes, known):
  for node in nodes:
    if node.op not in known:
      raise ValueError(f'{where} runs the operation {node.op!r}')
