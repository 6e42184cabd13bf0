import io

from pipelines.display import Display


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_terminal_shows_lines_in_place():
  stream = _Terminal()
  display = Display(stream)
  display.show(["one", "two"])
  display.show(["three"])
  display.show(["four"])
  # Two lines up and clear from there, then one.
  assert stream.getvalue() == (
    "one\ntwo\n\x1b[2A\x1b[Jthree\n\x1b[1A\x1b[Jfour\n"
  )


def test_a_line_is_cut_where_a_terminal_would_wrap_it(monkeypatch):
  monkeypatch.setenv("COLUMNS", "10")
  stream = _Terminal()
  Display(stream).show(["0123456789abc", "short"])
  assert stream.getvalue() == "012345678\nshort\n"


def test_what_is_left_on_a_terminal_stays():
  stream = _Terminal()
  display = Display(stream)
  display.show(["live"])
  display.leave(["done"])
  display.show(["next"])
  assert stream.getvalue() == "live\n\x1b[1A\x1b[Jdone\nnext\n"


def test_a_log_gets_lines_every_ten_seconds():
  stream = io.StringIO()
  now = [0.0]
  display = Display(stream, lambda: now[0])
  for second in (0, 1, 9.9, 10, 19, 25):
    now[0] = second
    display.show([f"at {second}"])
  assert stream.getvalue() == "at 0\nat 10\nat 25\n"


def test_a_log_gets_what_is_left_at_once_and_no_control_characters():
  stream = io.StringIO()
  display = Display(stream, lambda: 5.0)
  display.show(["live"])
  display.leave(["done", "well"])
  assert stream.getvalue() == "live\ndone\nwell\n"


def test_an_empty_display_does_not_hold_the_next_lines_back():
  stream = io.StringIO()
  display = Display(stream, lambda: 5.0)
  display.show([])
  display.show(["first"])
  assert stream.getvalue() == "first\n"
