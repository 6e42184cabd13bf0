"""What every script does at its start and its end.

A user's mistake ends in one line on stderr and exit status 1, and so does a
wrong flag unless the script has another status; what may pass by itself in 75,
Ctrl-C in 130, SIGTERM in 143; only our own faults show a stack trace.
"""

import errno
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from types import FrameType

from absl import app
from absl import flags
from absl import logging as absl_logging

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.errors import PassingError
from pipelines import helping

_REQUIRED: list[str] = []  # names of flags
MISTAKE, PASSING, TERMINATED = 1, 75, 128 + signal.SIGTERM
"""Exit statuses: to start again is in vain; it may do; SIGTERM was heeded."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run(
  main: Callable[..., int | None],
  *,
  takes_words: bool = False,
  wrong_flag: int = 1,
) -> None:
  """Parses the flags, calls `main` and exits with the status it returns.

  Args:
    main: the script.
    takes_words: whether it is called with what is no flag; else none may be.
    wrong_flag: exit status after a wrong flag.
  """

  def parsed(argv: Sequence[str]) -> list[str]:
    helping.define(_REQUIRED)
    try:
      rest = flags.FLAGS(argv)
      for name in _REQUIRED:
        if flags.FLAGS[name].value is None:
          raise flags.Error(f"--{name} should be given")
      return rest
    except flags.Error as error:
      print(f"error: {error}\nsee --help", file=sys.stderr)
      raise SystemExit(wrong_flag) from None

  def ended(argv: Sequence[str]) -> int:
    if takes_words:
      return _ended(lambda: main(*argv[1:]), argv[:1])
    return _ended(main, argv)

  app.run(ended, flags_parser=parsed)


def require(*names: str) -> None:
  """Marks flags as required, and not empty: an empty path is this directory."""
  for name in names:
    _REQUIRED.append(name)
    flags.register_validator(
      name, lambda value: value not in ("", []), "should not be empty"
    )


def local(*names: str) -> None:
  """Refuses flags that name a remote place."""
  for name in names:
    flags.register_validator(
      name,
      lambda value: not value or not places.is_remote(value),
      "should be a path of this machine",
    )


def written(*names: str) -> None:
  """Refuses flags that name a place where nothing can be written."""
  for name in names:
    flags.register_validator(
      name,
      lambda value: not value or places.is_writable(value),
      "should be a path of this machine or s3://, http is only read",
    )


def temporary(name: str) -> str:
  """Returns a path of that name in this user's temporary directory.

  Raises:
    InputError: another user was there first, and could change what we leave.
  """
  own = os.path.join(tempfile.gettempdir(), f"ctr_codistill-{os.getuid()}")
  os.makedirs(own, mode=0o700, exist_ok=True)
  if os.lstat(own).st_uid != os.getuid():
    raise InputError(f"{own} should be yours, is another's; set TMPDIR")
  return os.path.join(own, name)


def reach(*paths: str) -> None:
  """Tells early why a remote path cannot be used; see `places.check`."""
  for path in paths:
    places.check(path, os.environ.get("S3_ENDPOINT", ""))


def _ended(main: Callable[[], int | None], argv: Sequence[str]) -> int:
  """Returns the status, or leaves with it at once.

  A process that touched s3:// through tensorflow-io aborts when it ends in the
  usual way, whatever its status was.
  """
  try:
    status = _guarded(main, argv)
  except BaseException as error:
    if not _aborts_at_its_end():
      raise
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
      status = error.code or 0
    else:
      traceback.print_exc()
      status = 1
  if _aborts_at_its_end():
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
  return status


def _aborts_at_its_end() -> bool:
  return "tensorflow_io" in sys.modules


def _guarded(main: Callable[[], int | None], argv: Sequence[str]) -> int:
  absl_logging.set_verbosity(absl_logging.WARNING)
  logging.getLogger("ctr_codistill").setLevel(logging.INFO)
  signal.signal(signal.SIGTERM, _terminate)
  try:
    if len(argv) > 1:
      raise InputError(
        f"{argv[1]!r} is no flag; flags look like --name=value, see --help"
      )
    return main() or 0
  except InputError as error:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return PASSING if isinstance(error, PassingError) else MISTAKE
  except OSError as error:
    said = places.said(error, "")
    if said.startswith(":") and error.errno not in _NO_ROOM:
      raise  # it names no file
    print(f"error: {said.removeprefix(': ')}", file=sys.stderr)
    return MISTAKE
  except KeyboardInterrupt:
    print("interrupted", file=sys.stderr, flush=True)
    return 130


def _terminate(number: int, frame: FrameType | None) -> None:
  """Leaves by an exception, so that what was begun is cleaned up."""
  del frame
  print("ended by SIGTERM", file=sys.stderr, flush=True)
  raise SystemExit(128 + number)
