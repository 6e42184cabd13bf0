from pipelines.bars import Bars


def test_a_new_pass_ends_the_bar_before(capsys):
  with Bars() as bars:
    bars("count", 4)(4)
    bars("encode", None)(3)
  told = capsys.readouterr().err
  assert "count: 100%" in told and "4.00/4.00" in told
  assert told.index("encode") > told.rindex("count") and "3.00row" in told


def test_an_error_ends_the_bar(capsys):
  bars = Bars()
  try:
    with bars:
      bars("count", 4)(1)
      raise ValueError
  except ValueError:
    pass
  assert "1.00/4.00" in capsys.readouterr().err.splitlines()[-1]
