import pytest

from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError

AVAZU = """
label = "click"
header = true
delimiter = ","
numeric = []
categorical = ["hour", "C1"]
ignored = ["id"]
"""


def _read(directory, text):
  path = directory / "log.toml"
  path.write_text(text)
  return layout_files.read(str(path))


def test_presets_are_known_by_name():
  assert layout_files.read("criteo").columns == 40
  x4 = layout_files.read("criteo_x4")
  assert (x4.binned, x4.min_count, x4.oov) == (True, 10, 1)
  assert x4.counted == 39
  assert x4.names == layout_files.read("criteo").names


def test_a_file_says_what_the_columns_are(tmp_path):
  assert _read(tmp_path, AVAZU) == Layout(
    (),
    ("hour", "C1"),
    True,
    label="click",
    ignored=("id",),
    delimiter=",",
    header=True,
  )
  found = _read(
    tmp_path,
    'columns = ["a", "x", "label", "b"]\nnumeric = ["a"]\nignored = ["x"]\n'
    'categorical = ["b"]\nlabel_values = ["no", "yes"]\nmin_count = 3\noov = 2',
  )
  assert found.names == ("a", "x", "label", "b")
  assert list(found.types) == ["label", "a", "b"]
  assert (found.min_count, found.oov) == (3, 2)


@pytest.mark.parametrize(
  "text, said",
  [
    ("numeric = 5", "numeric should be a list of strings, is 5"),
    ("labels = 'x'", "there is no 'labels'; there are categorical, columns"),
    ("", "numeric or categorical should name a column"),
    ("numeric = ['a b']", "a feature's name should be .*'a b'"),
    ("numeric = ['a', 'a']", "should be unique, 'a' is not"),
    ("numeric = ['label']", "'label'"),
    ("numeric = ['a']\ndelimiter = ''", "delimiter should be one character"),
    ("numeric = ['a']\ndelimiter = '€'", "delimiter should be plain ASCII"),
    ("numeric = ['a']\nheader = 1", "header should be true or false, is 1"),
    ("numeric = ['a']\noov = 0", "oov should be at least 1, is 0"),
    ("numeric = ['a']\nlabel = 7", "label should be a name, is 7"),
    ("numeric = ['a']\nlabel_values = ['1']", r"two different .*\['1'\]"),
    ("numeric = ['a']\nlabel_values = ['', '1']", "two different strings"),
    ("numeric = ['a']\nignored = ['b']", "ignored needs columns"),
    ("numeric = ['a']\ncolumns = ['a']", "'label' stands in one of the two"),
    ("numeric = ['a'", "log.toml: "),
  ],
)
def test_what_breaks_a_rule_is_named(tmp_path, text, said):
  with pytest.raises(InputError, match=f"layout .*log.toml: .*{said}|{said}"):
    _read(tmp_path, text)


def test_no_layout_is_named(tmp_path):
  with pytest.raises(InputError, match=r"should be criteo, .* is 'avazu'"):
    layout_files.read("avazu")
  with pytest.raises(InputError, match=r"gone.toml: No such file"):
    layout_files.read(str(tmp_path / "gone.toml"))


def _detect(directory, wanted, **files):
  for name, text in files.items():
    (directory / name).write_text(text)
  return layouts.detect([str(directory / name) for name in files], wanted)


def test_a_header_says_the_order_and_whether_there_is_a_label(tmp_path):
  avazu = _read(tmp_path, AVAZU)
  found = _detect(tmp_path, avazu, a="id,click,hour,C1\r\n")
  assert found.names == ("id", "click", "hour", "C1")
  found = _detect(tmp_path, avazu, a="C1,id,hour\n", b="C1,id,hour")
  assert (found.names, found.has_label) == (("C1", "id", "hour"), False)


def test_a_header_that_does_not_fit_is_named(tmp_path):
  avazu = _read(tmp_path, AVAZU)
  for header, said in [
    ("id,click,hour,C1,C2", "a:1 has a column 'C2', which the layout does not"),
    ("id,click,hour", "a should have a column 'C1', has none"),
    ("id,hour,hour,C1", "a has two columns 'hour'"),
  ]:
    with pytest.raises(InputError, match=said):
      _detect(tmp_path, avazu, a=header)
  with pytest.raises(InputError, match=r"b:1 should have 4 columns \(id, clic"):
    _detect(tmp_path, avazu, a="id,click,hour,C1", b="click,id,hour,C1")


def test_without_a_header_the_label_may_lack_anywhere_in_the_line(tmp_path):
  wanted = _read(
    tmp_path, "columns = ['a', 'label', 'b']\ncategorical = ['a', 'b']"
  )
  assert _detect(tmp_path, wanted, a="x\t1\ty").names == ("a", "label", "b")
  assert _detect(tmp_path, wanted, a="x\ty").names == ("a", "b")
