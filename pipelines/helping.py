"""What `--help` says, as absl does not: what must be given comes first.

The script's own flags, then those of the configuration, a section each.
"""

import sys
from collections.abc import Callable
from collections.abc import Collection

from absl import flags


class _Help(flags.BooleanFlag):
  """Shows a help and ends well: to ask for it is no mistake."""

  def __init__(
    self,
    name: str,
    about: str,
    said: Callable[[], str],
    short_name: str | None = None,
  ):
    super().__init__(
      name, False, about, short_name=short_name, allow_override=True
    )
    self._said = said

  def parse(self, arg: object) -> None:
    if self._parse(arg):
      doc = sys.modules["__main__"].__doc__ or ""
      print(f"{doc}\n{self._said()}")
      raise SystemExit(0)


def define(required: Collection[str]) -> None:
  """Puts our helps in the place of absl's, which end with status 1."""

  def own() -> str:
    return text(required)

  flags.DEFINE_flag(_Help("help", "show this help", own, short_name="?"))
  flags.DEFINE_flag(_Help("helpshort", "as --help", own))
  flags.DEFINE_flag(
    _Help("helpfull", "show the flags of all modules", flags.FLAGS.get_help)
  )


def text(required: Collection[str]) -> str:
  """Returns the help of the script's flags, those that are `required` first.

  Without those that have no help: they are not for its user.
  """
  every = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
  found = [flag for flag in every if flag.help]
  sections: dict[str, list[flags.Flag]] = {}
  for flag in sorted(found, key=lambda f: (f.name not in required, f.name)):
    section, dot, _ = flag.name.rpartition(".")
    sections.setdefault(section + dot, []).append(flag)
  parts = ["flags:", *(_said(f, required) for f in sections.pop("", []))]
  for name, those in sorted(sections.items()):
    parts += [f"\n--{name}*:", *(_said(flag, required) for flag in those)]
  return "\n".join(parts)


def _said(flag: flags.Flag, required: Collection[str]) -> str:
  name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
  if flag.name in required:
    name += " (required)"
  default = flag.default_as_str
  said = f"{name}: {flag.help}" + (f" (default: {default})" if default else "")
  return flags.text_wrap(said, indent="    ", firstline_indent="  ")
