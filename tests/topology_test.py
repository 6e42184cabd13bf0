import pytest

from ctr_codistill import config
from ctr_codistill import topology
from ctr_codistill.errors import InputError
from pipelines import topology_file


def test_everyone_learns_from_all_others():
  assert topology.peers("all", 3) == ((1, 2), (0, 2), (0, 1))
  assert topology.peers("all", 2) == ((1,), (0,))
  assert topology.peers("all", 1) == ((),)


def test_in_a_ring_each_learns_from_the_one_before_it():
  assert topology.peers("ring", 4) == ((3,), (0,), (1,), (2,))
  assert topology.peers("ring", 2) == ((1,), (0,))
  assert topology.peers("ring", 1) == ((),)


def test_a_text_says_who_learns_from_whom():
  assert topology.peers("0<2,1 1<2 2<", 4) == ((1, 2), (2,), (), ())
  assert topology.peers("", 2) == ((), ())


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("0<3", r"'0<3': a group should be in \[0, 3\), is 3"),
    ("5<0", r"'5<0': a group should be in \[0, 3\), is 5"),
    ("0<1,0", "'0<1,0': a group should not be its own peer"),
    ("0<1,1", "'0<1,1': a peer should stand there once"),
    ("0<1 0<2", "'0<2': a group should stand there once"),
    ("star", "'star'"),
    ("0>1", "'0>1'"),
    ("0<1, 2<0", "'0<1, 2<0'"),
  ],
)
def test_who_is_not_there_or_its_own_peer_is_refused(text, said):
  with pytest.raises(InputError, match=f"topology .*{said}"):
    config.from_dict({"groups": 3, "exchange": {"topology": text}})


def test_a_file_becomes_the_text_that_says_the_same(tmp_path):
  path = tmp_path / "who.toml"
  path.write_text("# a comment\n[learns_from]\n1 = [2]\n0 = [1, 2]\n2 = []\n")
  assert topology_file.text(str(path)) == "0<1,2 1<2 2<"
  assert topology_file.text("ring") == "ring"


@pytest.mark.parametrize(
  ("content", "said"),
  [
    ("0 = [1]", "should have a table"),
    ("[learns_from]\n0 = 1", "says 0 = 1"),
    ("[learns_from]\na = [1]", "says a ="),
    ("[learns_from]\n0 = [-1]", r"says 0 = \[-1\]"),
    ("[learns_from", "should be TOML"),
  ],
)
def test_a_file_that_says_something_else_is_named(tmp_path, content, said):
  path = tmp_path / "who.toml"
  path.write_text(content)
  with pytest.raises(InputError, match=f"who.toml.* {said}"):
    topology_file.text(str(path))
  with pytest.raises(InputError, match=r"gone\.toml: No such file"):
    topology_file.text(str(tmp_path / "gone.toml"))
