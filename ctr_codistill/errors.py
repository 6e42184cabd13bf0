"""The one error a user can mend: it names the thing, the rule and the value.

Scripts print it as one line without a stack trace; anything else that is raised
is a fault of ours and keeps its trace.
"""


class InputError(ValueError):
  """A file, flag or directory given by the user breaks a rule.

  The message names the thing, the rule it breaks and the value it has, and says
  what to do where that is not plain.
  """


class PassingError(InputError):
  """What may be mended by itself: the same command may do it a little later.

  An address that is in use, a peer that is late. Whoever looks after the
  process starts it again, where it would not after a user's mistake.
  """
