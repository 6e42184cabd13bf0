"""Gradients added up over the workers of a group, and clipped.

A table's gradient names rows, and names one several times where examples share
an id. Every rule but plain SGD goes wrong if it takes a row's parts one by one,
so all parts are added up first, those of other workers too.
"""

from collections.abc import Sequence

import tensorflow as tf

Gradient = tf.Tensor | tf.IndexedSlices
BLOCK = 1024
"""A message has whole blocks of so many numbers: it comes in few sizes."""


def add_up(gradients: Sequence[Gradient]) -> list[Gradient]:
  """Returns the sums over the group's workers, each row of a table once.

  In replica context; every worker must call it. Two messages go around, however
  many variables there are: the ids, which are known before the model runs, so
  they are on their way meanwhile; and the sum of all dense gradients and of the
  rows. All workers have put these in one order, that of the ids' first places
  among all workers' ids, so a row that several of them name travels once.

  Args:
    gradients: this worker's; those with ids have as many on each worker.
  """
  values = [_values(gradient) for gradient in gradients]
  sparse = [i for i, g in enumerate(gradients) if _is_sparse(g)]
  ids = [tf.cast(gradients[i].indices, tf.int32) for i in sparse]
  numbered = _numbered(ids)
  for i, (rows, places) in zip(sparse, numbered, strict=True):
    values[i] = tf.math.unsorted_segment_sum(values[i], places, tf.size(rows))
  context = tf.distribute.get_replica_context()
  if context.num_replicas_in_sync > 1:
    values.append(_filling(values))
    values = context.all_reduce(tf.distribute.ReduceOp.SUM, values)[:-1]
  sums = list(values)
  for i, (rows, _) in zip(sparse, numbered, strict=True):
    sums[i] = tf.IndexedSlices(values[i], rows, gradients[i].dense_shape)
  return sums


def clip(sums: Sequence[Gradient], *, norm: float) -> list[Gradient]:
  """Returns the gradients, scaled so that their common norm is at most `norm`.

      g <- g norm / max(norm, |g|),   |g| = sqrt(sum of all squares)

  Rows of tables stay rows: those not named are 0 and add nothing.

  Args:
    sums: what `add_up` returned; parts of a row would give another norm.
    norm: the largest that stays, above 0.
  """
  squares = [2 * tf.nn.l2_loss(_values(gradient)) for gradient in sums]
  scale = norm / tf.maximum(tf.sqrt(tf.add_n(squares)), norm)
  return [_scaled(gradient, scale) for gradient in sums]


def pulled(total: Gradient, table: tf.Variable, weight: tf.Tensor) -> Gradient:
  """Returns the gradient with that of weight/2 |v|^2 for each row v it names.

  Only those rows are read.

  Args:
    total: what `add_up` returned: parts of a row would be pulled several times.
    table: the variable that it is of.
    weight: at least 0, float32 scalar.
  """
  if not _is_sparse(total):
    held = tf.raw_ops.ReadVariableOp(resource=table.handle, dtype=table.dtype)
    return total + weight * held
  rows = tf.raw_ops.ResourceGather(
    resource=table.handle, indices=total.indices, dtype=table.dtype
  )
  return tf.IndexedSlices(
    total.values + weight * rows, total.indices, total.dense_shape
  )


def _numbered(ids: Sequence[tf.Tensor]) -> list[tuple[tf.Tensor, tf.Tensor]]:
  """Returns for each table all workers' ids once, and where this one's stand.

  Args:
    ids: of each table, this worker's, int32 `[n]`.

  Returns:
    Pairs of ids `[rows]`, the same on all workers, and of the place among them
    of each of this worker's ids, int32 `[n]`.
  """
  context = tf.distribute.get_replica_context()
  workers = context.num_replicas_in_sync
  if not ids or workers == 1:
    return [tuple(tf.unique(own)) for own in ids]
  # A sum in which each worker fills a line gathers them, in one message where
  # `all_gather` asks for lengths first.
  line = tf.one_hot(context.replica_id_in_sync_group, workers, dtype=tf.int32)
  everyones = context.all_reduce(
    tf.distribute.ReduceOp.SUM, line[:, None] * tf.concat(ids, 0)
  )
  found = []
  for part in tf.split(everyones, [tf.size(own) for own in ids], axis=1):
    rows, places = tf.unique(tf.reshape(part, [-1]))
    by_worker = tf.reshape(places, tf.shape(part))
    found.append((rows, by_worker[context.replica_id_in_sync_group]))
  return found


def _filling(values: Sequence[tf.Tensor]) -> tf.Tensor:
  """Returns the zeros that a message of `values` lacks to whole blocks."""
  size = tf.add_n([tf.size(value) for value in values])
  return tf.zeros([-size % BLOCK])


def _is_sparse(gradient: Gradient) -> bool:
  return isinstance(gradient, tf.IndexedSlices)


def _values(gradient: Gradient) -> tf.Tensor:
  return gradient.values if _is_sparse(gradient) else gradient


def _scaled(gradient: Gradient, scale: tf.Tensor) -> Gradient:
  if _is_sparse(gradient):
    return tf.IndexedSlices(
      gradient.values * scale, gradient.indices, gradient.dense_shape
    )
  return gradient * scale
