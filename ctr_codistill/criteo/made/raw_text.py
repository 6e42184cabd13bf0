"""Arrays as raw Criteo lines: tables of digits instead of a loop over cells.

Every cell gets four, eight or twelve bytes of a grid, NUL where it has no
character; taking the NULs out leaves the text. numpy does all of it without
holding the interpreter lock, so threads share the work.
"""

import functools

import numpy as np

from ctr_codistill.criteo.schema import MISSING

_TILE = 2048  # rows a grid; more would leave the cache
_SMALLEST = -9  # one sign, one digit
_SPLIT = 1000


def text(
  *,
  labels: np.ndarray,
  numerics: np.ndarray,
  codes: np.ndarray,
  empty: np.ndarray,
) -> bytes:
  """Returns the rows as lines, each ended by LF.

  Args:
    labels: 0 or 1 `[rows]`.
    numerics: int32 `[13, rows]` in [-9, 10**7), or MISSING: an empty cell.
    codes: uint32 `[26, rows]`, written as 8 hexadecimal digits.
    empty: bool `[26, rows]`: where there is no code.
  """
  tiles = [
    slice(start, start + _TILE) for start in range(0, len(labels), _TILE)
  ]
  return b"".join(
    _tile(labels[tile], numerics[:, tile], codes[:, tile], empty[:, tile])
    for tile in tiles
  )


def _tile(
  labels: np.ndarray,
  numerics: np.ndarray,
  codes: np.ndarray,
  empty: np.ndarray,
) -> bytes:
  end = 1 + 2 * len(numerics)
  words = np.zeros((len(labels), end + 3 * len(codes)), np.uint32)
  words[:, 0] = _low_digits()[labels - _SMALLEST]
  _write_integers(words[:, 1:end], numerics)
  _write_hexadecimals(words[:, end:], codes, empty)
  words[:, -1] = _word(b"\n")
  characters = words.view(np.uint8).ravel()
  return characters[characters != 0].tobytes()


def _write_integers(words: np.ndarray, values: np.ndarray) -> None:
  """Fills `words` `[rows, 2 * columns]` from `values` `[columns, rows]`."""
  flat = values.ravel()
  large = np.flatnonzero(flat >= _SPLIT)
  thousands, rest = np.divmod(flat[large], _SPLIT)
  places = flat - _SMALLEST
  places[large] = rest + (_SPLIT - _SMALLEST)
  places[flat == MISSING] = -1
  high = np.zeros(len(flat), np.uint32)
  high[large] = _high_digits()[thousands]
  words[:, 0::2] = high.reshape(values.shape).T
  words[:, 1::2] = _low_digits()[places].reshape(values.shape).T


def _write_hexadecimals(
  words: np.ndarray, codes: np.ndarray, empty: np.ndarray
) -> None:
  """Fills `words` `[rows, 3 * columns]` from `codes` `[columns, rows]`."""
  high = _hexadecimals()[codes >> np.uint32(16)]
  low = _hexadecimals()[codes & np.uint32(0xFFFF)]
  high[empty] = 0
  low[empty] = 0
  words[:, 0::3] = high.T
  words[:, 1::3] = low.T
  words[:, 2::3] = _word(b"\t")


def _word(characters: bytes) -> int:
  """Returns up to four characters as they lie in memory."""
  return int(np.frombuffer(characters.ljust(4, b"\0"), np.uint32)[0])


def _table(cells: list[bytes]) -> np.ndarray:
  return np.array([_word(cell) for cell in cells], np.uint32)


@functools.cache
def _low_digits() -> np.ndarray:
  """Returns words with a tab: -9 ... 999, then 000 ... 999, then nothing."""
  short = [b"%d\t" % value for value in range(_SMALLEST, _SPLIT)]
  padded = [b"%03d\t" % value for value in range(_SPLIT)]
  return _table([*short, *padded, b"\t"])


@functools.cache
def _high_digits() -> np.ndarray:
  """Returns words: 0 ... 9999."""
  return _table([b"%d" % value for value in range(10_000)])


@functools.cache
def _hexadecimals() -> np.ndarray:
  """Returns words: 0000 ... ffff."""
  return _table([b"%04x" % value for value in range(2**16)])
