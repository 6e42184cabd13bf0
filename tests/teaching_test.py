"""A group among peers that publish real snapshots, at steps that are given."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import loading
from ctr_codistill import stamped
from ctr_codistill.codistill import exchange
from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer
from ctr_codistill.training import actions
from ctr_codistill.training import loop
from ctr_codistill.training import peers
from ctr_codistill.training import teaching
from ctr_codistill.training import workdir
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.teaching import Setting
from ctr_codistill.training.workdir import Place

MEAN_LOGIT = {
  "loss": "squared_logits",
  "divergence_to": "each",
  "taught_share": 1.0,
  "burn_in_steps": 0,
}


@pytest.fixture
def place(prepared, tmp_path):
  return Place(prepared, tmp_path / "run", group=0, cluster=Cluster())


@pytest.fixture
def setting(place, tiny, tmp_path):
  """A function: of group 0, for an experiment of the given fields."""
  numbers = itertools.count()

  def make(codistill=(), **fields):
    experiment = config.from_dict(
      {
        "model": dataclasses.asdict(tiny),
        "training": {"batch_size": 16},
        "codistill": MEAN_LOGIT | dict(codistill),
        **fields,
      }
    )
    # Peers are there already, so the run's own directory is not new.
    new = dataclasses.replace(place, workdir=tmp_path / str(next(numbers)))
    return Setting(
      workdir.claim(new, experiment),
      place,
      lambda rows: {"numeric": rows[:, 1:3], "categorical": rows[:, 3:]},
      Agreement(tf.distribute.get_strategy()),
      clock=lambda: 100.0,
      ticks=lambda: 100.0,
      sleep=lambda seconds: None,
    )

  return make


@pytest.fixture
def leave(place, schema, tiny, publish):
  """A function: publishes snapshot `step` of a peer, of its own weights."""

  def write(peer, step):
    root = exchange.folder(place.workdir, peer)
    seed = 100 * peer + step
    facts = {
      "group": peer,
      "model": tiny.fingerprint,
      "schema": schema.fingerprint,
      "published": 90.0,
    }
    return publish(root, step, seed, **facts)

  return write


def _train(setting, rows, events, stop):
  """Returns the opinion at each step; at step s it first does `events[s]`."""
  learning, batch = teaching.build(setting), tf.constant(rows[:16])
  opinions, found = learning.begin(0), []

  def step_on(step, batch):
    for call in events.get(step, ()):
      call()
    learning._teacher.wait()
    found.append(opinions(step, batch))

  do_nothing = learning.actions(lambda step: None)
  batches = iter([batch] * stop)
  loop.run(step_on, batches, do_nothing, start=0, stop=stop)
  return found


def _logit(path, features):
  return Snapshot(path).predict_ids(**features)["logit"].numpy()


def test_a_peer_may_come_late_leave_and_come_back(
  setting, place, leave, rows, features, caplog
):
  caplog.set_level("INFO")
  found = _train(
    setting(
      groups=3, exchange={"every_steps": 2, "max_staleness_steps": 4, "keep": 9}
    ),
    rows,
    {
      0: [lambda: leave(1, 0)],
      4: [lambda: leave(2, 4)],
      8: [lambda: leave(1, 8)],
    },
    stop=15,
  )
  # What is left at step s is read by s + 1 and taken at the next even step; 4
  # steps stale is heard, 5 is not.
  said = {(1, 0): (2, 3, 4), (2, 4): (6, 7, 8), (1, 8): (10, 11, 12)}
  for (peer, step), steps in said.items():
    path = exchange.folder(place.workdir, peer) / str(step)
    wanted = _logit(path, features)
    for s in steps:
      np.testing.assert_allclose(found[s].logit, wanted, atol=1e-5)
      assert (found[s].weight, found[s].staleness_steps) == (1, s - step)
      assert found[s].staleness_seconds == 10
  for s in (0, 1, 5, 9, 13, 14):
    assert found[s].weight == 0 and np.isnan(found[s].logit).all()
  assert caplog.text.count("group 1 is left out") == 2
  assert caplog.text.count("group 1 is heard again") == 1
  assert caplog.text.count("group 2 is left out") == 1


def test_a_delayed_teacher_is_just_as_old(setting, leave, rows):
  def publishes(step):
    return [lambda: leave(1, step)]

  found = _train(
    setting(exchange={"every_steps": 2, "delay_steps": 4, "keep": 9}),
    rows,
    {step - 1: publishes(step) for step in range(2, 14, 2)},
    stop=14,
  )
  stale = [opinion.staleness_steps for opinion in found]
  # From step 6 on that of step 2, from step 8 on that of 4.
  assert stale[6:] == [4, 5] * 4
  assert all(math.isnan(s) for s in stale[:6])


def test_in_a_ring_only_the_one_before_is_asked(setting, leave, rows, features):
  path = leave(2, 0)
  leave(1, 0)
  around = setting(groups=3, exchange={"topology": "ring"})
  found = _train(around, rows, {}, stop=1)
  np.testing.assert_allclose(found[0].logit, _logit(path, features), atol=1e-5)


def test_who_has_no_peers_learns_alone(setting, leave, rows):
  leave(1, 0)
  found = _train(setting(exchange={"topology": "1<0"}), rows, {}, stop=3)
  assert [opinion.weight for opinion in found] == [0, 0, 0]


def test_fixed_teachers_are_an_ensemble_that_never_changes(
  setting, leave, rows, features
):
  paths = [leave(7, 30), leave(8, 50)]
  teachers = {"teachers": [str(path) for path in paths], "weight": 0.5}
  found = _train(
    setting(
      teachers, groups=1, exchange={"max_staleness_steps": 1, "every_steps": 1}
    ),
    rows,
    {1: [lambda: leave(7, 60)]},
    stop=4,
  )
  wanted = np.mean([_logit(path, features) for path in paths], 0)
  for opinion in found:
    np.testing.assert_allclose(opinion.logit, wanted, atol=1e-5)
    assert opinion.weight == 0.5 and math.isnan(opinion.staleness_steps)


def test_a_fixed_teacher_teaches_beside_the_peers(
  setting, leave, rows, features
):
  paths = [leave(1, 0), leave(8, 50)]
  taught = setting({"teachers": [str(paths[1])]})
  (opinion,) = _train(taught, rows, {}, stop=1)
  wanted = np.mean([_logit(path, features) for path in paths], 0)
  np.testing.assert_allclose(opinion.logit, wanted, atol=1e-5)
  assert opinion.staleness_steps == 0


def test_a_fixed_teacher_that_cannot_teach_is_named_at_the_start(
  setting, leave, publish, tmp_path, flip
):
  with pytest.raises(InputError, match="gone/5 is no complete directory"):
    setting({"teachers": [str(tmp_path / "gone" / "5")]})
  other = publish(tmp_path / "other", 5, 1, schema="abc")
  with pytest.raises(InputError, match=r"other/5 should be .*, is one for abc"):
    setting({"teachers": [str(other)]})
  path = leave(7, 30)
  flip(path / "variables" / "variables.index")
  with pytest.raises(InputError, match=r"30: variables/variables.index should"):
    teaching.build(setting({"teachers": [str(path)]}))


def test_bytes_read_are_those_of_the_snapshots(setting, leave, rows):
  path = leave(1, 0)
  learning = teaching.build(setting())
  learning.begin(0)
  size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
  manifest = (path / "manifest.json").stat().st_size
  assert learning.bytes_read == size - manifest


def test_by_the_clock_calls_come_when_their_time_has_come():
  now, called = [0.0], []
  action = actions.by_clock(
    [lambda step: called.append(step), lambda step: called.append(-step)],
    Agreement(tf.distribute.get_strategy()),
    seconds=5.0,
    clock=lambda: now[0],
  )
  for step, now[0] in enumerate([1.0, 4.9, 5.0, 9.9, 10.5, 15.4, 15.5], 1):
    action(step)
  assert called == [3, -3, 5, -5, 7, -7]


def test_with_seconds_groups_publish_and_look_by_the_clock(setting):
  learning = teaching.build(setting(exchange={"every_seconds": 9.0}))
  published = []
  found = learning.actions(published.append)
  for action in found:
    if action.is_due(50, stop=100):
      action.call(50)
  assert published == []  # the clock stands still
  for action in found:
    if action.is_due(100, stop=100):
      action.call(100)
  assert published == [100]


def test_a_peers_graph_is_never_loaded(
  setting, place, leave, rows, features, monkeypatch
):
  """Its weights go into a graph of ours, whatever lies beside them."""

  def load(*unused):
    raise AssertionError("a graph was loaded")

  path = leave(1, 0)
  wanted = _logit(path, features)
  monkeypatch.setattr(loading, "load", load)
  found = _train(setting(), rows, {}, stop=1)
  np.testing.assert_allclose(found[0].logit, wanted, atol=1e-5)


@pytest.mark.parametrize(
  ("fact", "value"),
  [
    ("group", 2),
    ("schema", "another"),
    ("model", "another"),
    ("published", "x"),
    ("published", math.nan),
  ],
)
def test_a_foreign_snapshot_is_named_and_the_older_one_is_heard(
  setting, place, leave, publish, rows, caplog, fact, value
):
  facts = stamped.facts(leave(1, 0)) | {fact: value}
  del facts["step"]
  publish(exchange.folder(place.workdir, 1), 8, seed=9, **facts)
  found = _train(setting(), rows, {}, stop=1)
  assert found[0].staleness_steps == 0
  (said,) = (r.getMessage() for r in caplog.records if "passed over" in r.msg)
  name = f"a number {fact}" if fact == "published" else fact
  assert f"group-1/8 should have {name}" in said


def test_weights_of_other_shapes_are_named_and_the_older_one_is_heard(
  setting, place, leave, tiny, schema, servable, rows, caplog, tmp_path
):
  facts = stamped.facts(leave(1, 0)) | {"step": 8}
  wide = dataclasses.replace(tiny, hidden=(5,))
  module = Servable(networks.build(wide, schema, seed=1), schema)
  module.lookup = servable.lookup
  writer = Writer(module, {"predict_ids": module.ids()}, {}, tmp_path / "t")
  root = exchange.folder(place.workdir, 1)
  writer.write(root, 8, module.weights, facts)
  found = _train(setting(), rows, {}, stop=1)
  assert found[0].staleness_steps == 0
  assert "group-1/8: its weights should be float32[" in caplog.text


def test_a_peer_whose_code_is_not_here_brings_its_own_graph(setting, caplog):
  claim = setting(per_group=["1:model.name=nowhere:none"]).claim
  assert peers.graph(claim, 1) is None
  assert "group 1: its snapshots' own graph is loaded, since" in caplog.text
