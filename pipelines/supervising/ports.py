"""Addresses of workers on this machine, and who answers at one."""

import contextlib
import socket

_ANSWER_SECONDS = 0.5


def free(count: int) -> tuple[str, ...]:
  """Returns so many addresses that nobody used a moment ago.

  Another process may take one before its worker does. That is one more reason
  for a group to fail and to be started again, at others.
  """
  with contextlib.ExitStack() as held:
    found = []
    for _ in range(count):
      # All stay bound until all are found, or one could be given out twice.
      probe = held.enter_context(socket.socket())
      probe.bind(("localhost", 0))
      found.append(f"localhost:{probe.getsockname()[1]}")
  return tuple(found)


def answers(address: str) -> bool:
  """Tells whether somebody listens at "host:port"."""
  host, _, port = address.rpartition(":")
  try:
    socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
  except (OSError, ValueError, OverflowError):
    return False
  return True
