"""How much memory calls keep, counted by glibc to the byte."""

import ctypes
import gc
import statistics

import numpy as np

# The fields of glibc's mallinfo2; only two of them matter.
_FIELDS = (
  "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
)


class _Malloc(ctypes.Structure):
  _fields_ = tuple((name, ctypes.c_size_t) for name in _FIELDS.split())


def _held():
  ask = ctypes.CDLL(None).mallinfo2
  ask.restype = _Malloc
  found = ask()
  return found.uordblks + found.hblkhd


def kept(call, *, warm=150, parts=5, times=80):
  """Returns the bytes kept of a call: the median over `parts`, once warm.

  What is taken once, whenever that is, is in one part alone.
  """
  for _ in range(warm):
    call()
  held = []
  for part in range(parts + 1):
    for _ in range(times if part else 0):
      call()
    gc.collect()
    held.append(_held())
  return statistics.median(np.diff(held)) / times
