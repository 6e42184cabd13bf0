"""Bytes to their rank in a vocabulary, for many values at once.

pyarrow's `index_in` builds its hash table at each call: 0.2 s for a million
values, more than it takes to parse a block. So values of up to 8 bytes, which
Criteo's all are, become 64-bit keys in a table that is built once; longer ones,
and the odd value that ends in NUL, take the slow way. Both are exact. A short
value takes 16 to 20 bytes.
"""

import numpy as np
import pyarrow as pa
from pyarrow import compute

_SHORT = 8
_MASKS = np.array([2 ** (8 * n) - 1 for n in range(_SHORT + 1)], np.uint64)
# Odd, so that the product differs whenever the key does; its high bits spread.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_END = np.uint64(2**64 - 1)


class Ranks:
  """A function from values to their places in a vocabulary.

  Args:
    values: the vocabulary, binary `[size]`, without repetitions.
  """

  def __init__(self, values: pa.BinaryArray) -> None:
    short, keys = _keys(values)
    order = np.argsort(keys)
    self._keys = np.append(keys[order], _END)
    self._places = np.append(np.flatnonzero(short)[order], -1).astype(np.int32)
    bits = max(1, len(keys).bit_length())
    self._shift = np.uint64(64 - bits)
    bins = (self._keys[:-1] >> self._shift).astype(np.int64)
    sizes = np.bincount(bins, minlength=2**bits)
    self._starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    self._long = values.filter(pa.array(~short))
    self._long_places = np.append(np.flatnonzero(~short), -1)

  def __call__(self, values: pa.BinaryArray) -> np.ndarray:
    """Returns the place of each value, int32 `[values]`; -1 for others."""
    short, keys = _keys(values)
    if short.all():
      return self._look_up(keys)
    found = np.empty(len(values), np.int32)
    found[short] = self._look_up(keys)
    long = values.filter(pa.array(~short))
    at = compute.index_in(long, value_set=self._long).fill_null(-1)
    found[~short] = self._long_places[at.to_numpy()]
    return found

  def _look_up(self, keys: np.ndarray) -> np.ndarray:
    at = self._starts[keys >> self._shift]
    pending = np.flatnonzero(self._keys[at] < keys)
    while len(pending):
      at[pending] += 1
      pending = pending[self._keys[at[pending]] < keys[pending]]
    return np.where(self._keys[at] == keys, self._places[at], np.int32(-1))


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
