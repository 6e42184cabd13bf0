"""Which operations a graph of somebody else may hold.

A SavedModel is a program. One from the exchange may compute and nothing else:
what it may is listed (`ALLOWED`), a user may add to it for a model of their
own, and what reaches files, sockets, Python, other processes or the process'
own state is refused whatever anybody adds (`is_denied`).
"""

import re

_DENIED = re.compile(
  # Python, and ops that no TensorFlow brings ("Package>Op").
  "PyFunc|>"
  # Files.
  "|File|Reader|RecordInput|Dataset|Iterator|Cache|ImmutableConst|Skipgram"
  "|VocabRemapping|RemapMatrix|FixedUnigram|Proto|Fdo"
  "|Save|Restore|Checkpoint|Sharded|Print|Summary|ImportEvent|Debug"
  # Other processes and devices.
  "|Remote|Rpc|Send|Recv|Collective|Nccl|TPU|Tpu|Xla|Infeed|Outfeed|CrossRep"
  "|Distributed|DataService|Session|Host|WorkerHeartbeat"
  # This process, of which a handle by name would find the variables.
  "|Abort|Stats|Shutdown|ThreadPool|^Load|Minibatch|VarHandle|^Variable(V2)?$"
)

_PURE = """
Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Any ApproximateEqual ArgMax
ArgMin AsString Asin Asinh Assert Atan Atan2 Atanh AvgPool BatchMatMul
BatchMatMulV2 BatchMatMulV3 BesselI0 BesselI0e BesselI1 BesselI1e BiasAdd
Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs
BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil CheckNumerics
CheckNumericsV2 ClipByValue Concat ConcatOffset ConcatV2 Const Conv2D Cos Cosh
Cross Cumprod Cumsum CumulativeLogsumexp DenseBincount Diag DiagPart Digamma
DisableCopyOnRead Div DivNoNan DynamicPartition DynamicStitch Einsum Elu Empty
EmptyTensorList EnsureShape Equal Erf Erfc Erfinv EuclideanNorm Exp ExpandDims
Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2
FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual GuaranteeConst
HistogramFixedWidth Identity IdentityN Igamma Igammac InTopK InTopKV2 Inv Invert
InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu LeftShift Less
LessEqual Lgamma LinSpace ListDiff Log Log1p LogSoftmax LogicalAnd LogicalNot
LogicalOr LowerBound MatMul MatrixBandPart MatrixDiag MatrixDiagPart
MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixInverse
MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve Max MaxPool Maximum
Mean Min Minimum MirrorPad Mod Mul MulNoNan Ndtri Neg NextAfter NoOp NotEqual
NthElement OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch
Placeholder PlaceholderWithDefault Polygamma PopulationCount Pow PreventGradient
Prod RaggedBincount RaggedCross RaggedGather RaggedRange RaggedTensorFromVariant
RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant
RandomStandardNormal RandomUniform RandomUniformInt Range Rank ReadVariableOp
RealDiv Reciprocal Relu Relu6 Reshape ResourceGather ResourceGatherNd Reverse
ReverseSequence ReverseV2 RightShift Rint Roll Round Rsqrt ScatterNd SegmentMax
SegmentMean SegmentMin SegmentProd SegmentSum Select SelectV2 Selu Shape ShapeN
Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus Softsign
SparseBincount SparseConcat SparseCross SparseCrossHashed SparseCrossV2
SparseFillEmptyRows SparseReduceMax SparseReduceSum SparseReorder SparseReshape
SparseSegmentMean SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
SparseSegmentSqrtNWithNumSegments SparseSegmentSum
SparseSegmentSumWithNumSegments SparseSlice SparseSoftmax SparseSplit
SparseTensorDenseAdd SparseTensorDenseMatMul SparseToDense Split SplitV Sqrt
Square SquaredDifference Squeeze StatelessRandomGetAlg
StatelessRandomGetKeyCounter StatelessRandomNormal StatelessRandomNormalV2
StatelessRandomUniform StatelessRandomUniformV2 StatelessTruncatedNormal
StatelessTruncatedNormalV2 StopGradient StridedSlice Sub Sum Tan Tanh
TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
TensorArrayV3 TensorArrayWriteV3 TensorListConcatV2 TensorListElementShape
TensorListFromTensor TensorListGather TensorListGetItem TensorListLength
TensorListPopBack TensorListPushBack TensorListReserve TensorListResize
TensorListSetItem TensorListStack TensorScatterAdd TensorScatterMax
TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate
Tile TopK TopKV2 Transpose TruncateDiv TruncateMod TruncatedNormal Unique
UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex
UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
UpperBound VariableShape Where Xdivy Xlog1py Xlogy ZerosLike
"""
_FLOW = """
Case ControlTrigger Enter Exit If LoopCond Merge NextIteration PartitionedCall
StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch While
"""
_TEXT = """
DecodeBase64 DecodeRaw Fingerprint ParseExample ParseExampleV2
ParseSequenceExample ParseSequenceExampleV2 ParseSingleExample ReduceJoin
RegexFullMatch RegexReplace StaticRegexFullMatch StaticRegexReplace StringFormat
StringJoin StringLength StringLower StringNGrams StringSplit StringSplitV2
StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
StringToNumber StringUpper Substr UnicodeDecode UnicodeEncode UnicodeTranscode
"""
_STATE = """
AssignVariableOp HashTableV2 InitializeTableV2 LookupTableFindV2
LookupTableImportV2 LookupTableSizeV2 VarIsInitializedOp
"""
ALLOWED = frozenset(" ".join([_PURE, _FLOW, _TEXT, _STATE]).split())
"""What computes, branches, takes text apart, and holds weights and tables."""


def is_denied(op: str) -> bool:
  """Tells whether no graph of somebody else may have an op, in no case."""
  return bool(_DENIED.search(op))


def may_be_added(op: str) -> bool:
  """Tells whether `exchange.allowed_ops` may name an op."""
  return op.isalnum() and not is_denied(op)
