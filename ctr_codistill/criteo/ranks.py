"""Bytes to their rank in vocabularies, for the values of all features at once.

pyarrow's `index_in` builds its hash table at each call: 0.2 s for a million
values, more than it takes to parse a block. So values of up to 8 bytes, which
Criteo's all are, become 64-bit keys in a table that is built once; longer ones,
and the odd value that ends in NUL, take the slow way. Both are exact. A short
value takes 16 to 20 bytes. The features share the table, each with a part of
its own: a block has some thousand values of each, of which 26 small look-ups
took three times as long as one.
"""

from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute

_SHORT = 8
_MASKS = np.array([2 ** (8 * n) - 1 for n in range(_SHORT + 1)], np.uint64)
# Odd, so that the product differs whenever the key does; its high bits spread.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_END = np.uint64(2**64 - 1)


class Ranks:
  """A function from values to their places in the vocabulary of their feature.

  Args:
    vocabularies: of the features, binary `[size]` each, without repetitions;
      one of them is in memory at a time.
    sizes: of the vocabularies.
  """

  def __init__(
    self, vocabularies: Iterable[pa.BinaryArray], sizes: Sequence[int]
  ) -> None:
    bits = [max(1, size.bit_length()) for size in sizes]
    self._shifts = np.array([64 - b for b in bits], np.uint64)
    self._firsts = np.cumsum([0, *(2**b for b in bits)])  # of a feature's bins
    self._starts = np.empty(self._firsts[-1], np.int32)
    # Each feature's keys, ascending, and an end.
    self._keys = np.full(sum(sizes) + len(sizes), _END)
    self._places = np.full(len(self._keys), -1, np.int32)
    self._long = []
    begin = 0
    for feature, (values, size) in enumerate(zip(vocabularies, sizes)):
      self._add(feature, values, begin)
      begin += size + 1

  def __call__(
    self, values: pa.BinaryArray, counts: Sequence[int]
  ) -> np.ndarray:
    """Returns the place of each value, int32 `[values]`; -1 for others.

    Args:
      values: of all features, those of the first one first.
      counts: how many are of each.
    """
    short, keys = _keys(values)
    features = np.repeat(np.arange(len(counts)), counts)
    if short.all():
      return self._look_up(keys, features)
    found = np.empty(len(values), np.int32)
    found[short] = self._look_up(keys, features[short])
    for feature, (vocabulary, places) in enumerate(self._long):
      some = ~short & (features == feature)
      long = values.filter(pa.array(some))
      at = compute.index_in(long, value_set=vocabulary).fill_null(-1)
      found[some] = places[at.to_numpy()]
    return found

  def _add(self, feature: int, values: pa.BinaryArray, begin: int) -> None:
    """Fills the table from `begin` on with a feature's values."""
    short, keys = _keys(values)
    order = np.argsort(keys)
    keys = keys[order]
    self._keys[begin : begin + len(keys)] = keys
    self._places[begin : begin + len(keys)] = np.flatnonzero(short)[order]
    first, end = self._firsts[feature : feature + 2]
    bins = (keys >> self._shifts[feature]).astype(np.int64)
    sizes = np.bincount(bins, minlength=end - first)
    self._starts[first:end] = begin + np.cumsum(sizes) - sizes
    self._long.append(
      (values.filter(pa.array(~short)), np.append(np.flatnonzero(~short), -1))
    )

  def _look_up(self, keys: np.ndarray, features: np.ndarray) -> np.ndarray:
    bins = (keys >> self._shifts.take(features)).astype(np.int64)
    at = self._starts.take(bins + self._firsts.take(features))
    pending = np.flatnonzero(self._keys.take(at) < keys)
    while len(pending):
      ahead = at.take(pending) + 1
      at[pending] = ahead
      pending = pending[self._keys.take(ahead) < keys.take(pending)]
    # Arithmetic, for a processor cannot guess which values are known.
    known = self._keys.take(at) == keys
    return (self._places.take(at) + 1) * known - 1


def _keys(values: pa.BinaryArray) -> tuple[np.ndarray, np.ndarray]:
  """Returns which values are short, bool `[values]`, and those' uint64 keys.

  Padded with zeros, two short values are equal only if they differ in zeros at
  their ends; so none that ends in one counts as short.
  """
  offsets, data = _buffers(values)
  lengths = np.diff(offsets)
  words = np.ndarray(len(data) - _SHORT + 1, "<u8", data, strides=(1,))
  last = data[np.maximum(offsets[1:] - 1, 0)]
  short = (lengths <= _SHORT) & ((last != 0) | (lengths == 0))
  keys = words[offsets[:-1][short]] & _MASKS[lengths[short]]
  return short, keys.astype(np.uint64) * _SPREAD


def _buffers(values: pa.BinaryArray) -> tuple[np.ndarray, np.ndarray]:
  """Returns offsets, int32 `[values + 1]`, and bytes with 8 zeros behind."""
  _, offsets, data = values.buffers()
  if not len(values):
    return np.zeros(1, np.int32), np.zeros(_SHORT, np.uint8)
  found = np.frombuffer(offsets, np.int32)
  found = found[values.offset : values.offset + len(values) + 1]
  data = np.frombuffer(data or b"", np.uint8)[found[0] : found[-1]]
  return found - found[0], np.append(data, np.zeros(_SHORT, np.uint8))
