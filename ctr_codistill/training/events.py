"""An event file for TensorBoard, of scalars, written without TensorFlow's ops.

TensorFlow 2.16 never gives back what `tf.summary.scalar` takes: 2 KB a scalar,
and 1 KB more for each Python number it has not seen before (its issue 68196),
which is ten gigabytes in a million steps. A record of a file costs nothing.
"""

import pathlib
import socket
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

_V1 = tf.compat.v1
_SCALAR = _V1.SummaryMetadata(
  plugin_data=_V1.SummaryMetadata.PluginData(plugin_name="scalars"),
  data_class=1,  # DATA_CLASS_SCALAR, which has no public name
)


class Events:
  """Appends to a file of its own; no other writer of the folder touches it."""

  def __init__(self, folder: pathlib.Path, now: float):
    """Begins a file in `folder` at `now`, seconds since 1970."""
    folder.mkdir(parents=True, exist_ok=True)
    # TensorBoard reads a folder's files in the order of their names.
    stem = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}"
    count = len(list(folder.iterdir()))
    self._file = tf.io.TFRecordWriter(str(folder / f"{stem}.{count:06d}.v2"))
    self._write(_V1.Event(wall_time=now, file_version="brain.Event:2"))

  def scalars(self, step: int, values: Mapping[str, float], now: float) -> None:
    """Appends the values of a step, by tag."""
    found = [
      _V1.Summary.Value(
        tag=tag,
        metadata=_SCALAR,
        tensor=tf.make_tensor_proto(np.float32(value)),
      )
      for tag, value in values.items()
    ]
    summary = _V1.Summary(value=found)
    self._write(_V1.Event(wall_time=now, step=step, summary=summary))

  def flush(self) -> None:
    """Makes what was appended readable."""
    self._file.flush()

  def close(self) -> None:
    """Ends the file."""
    self._file.close()

  def _write(self, event: _V1.Event) -> None:
    self._file.write(event.SerializeToString())
