"""Runs in which much is as it is not by default, as a user starts them."""

import launching
import numpy as np
import pytest

from ctr_codistill import stamped
from ctr_codistill.evaluation import curves

STEPS = 40
FLAGS = [
  *launching.TINY,
  f"--training.max_steps={STEPS}",
  "--training.summarize_every=4",
  "--codistill.burn_in_steps=0",
  "--codistill.loss=squared_logits",
  "--codistill.divergence_to=each",
  "--codistill.taught_share=1",
]
YIELDING = [
  "--regularization.weight_decay=1e-3, 33%:1e-4, 67%:0",
  "--regularization.embedding_l2=1e-3, 50%-100%:0",
  "--regularization.dropout=0.2, 50%:0.1",
  "--regularization.label_smoothing=0.1, 67%:0",
  "--regularization.label_smoothing_to=base_rate",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return launching.data(tmp_path_factory.mktemp("data"))


def _launch(data, workdir, *flags):
  places = (f"--data={data}", f"--workdir={workdir}")
  launching.run("launch", *places, *FLAGS, *flags)
  return workdir


def _scalar(workdir, group, name):
  return dict(zip(*curves.read(workdir / f"group-{group}" / "events", name)))


@pytest.fixture(scope="module")
def ring(data, tmp_path_factory):
  """Two groups of two workers, with all that regularises, by the clock."""
  return _launch(
    data,
    tmp_path_factory.mktemp("runs") / "ring",
    "--groups=2",
    "--workers=2",
    "--exchange.topology=ring",
    "--exchange.every_seconds=0.2",
    "--exchange.max_staleness_steps=30",
    "--codistill.staleness_half_life=50",
    "--codistill.temperature=2",
    "--codistill.growth=1.1",
    "--codistill.weight=0, 8-16:1",
    "--training.weights_seed=3",
    *YIELDING,
  )


def _newest(workdir, group):
  folder = workdir / "exchange" / f"group-{group}"
  return folder / str(stamped.numbers(folder)[-1])


def test_groups_publish_by_the_clock_and_learn_from_one_another(ring):
  weights = [_scalar(ring, group, "teacher/weight") for group in (0, 1)]
  for group, weight in enumerate(weights):
    assert _newest(ring, group).name == str(STEPS)
    assert all(weight[step] == 0 for step in range(1, 10))
    assert all(0 <= w <= 1 for w in weight.values())
    assert np.isfinite(list(_scalar(ring, group, "loss").values())).all()
  assert max(max(weight.values()) for weight in weights) > 0


def test_bytes_are_told(ring):
  for group in (0, 1):
    published = _scalar(ring, group, "exchange/bytes_published")
    size = stamped.size(_newest(ring, group))
    assert published[STEPS] % size < size / 100  # names differ in length
    assert published[STEPS] >= size
  read = [_scalar(ring, group, "exchange/bytes_read") for group in (0, 1)]
  assert max(r[STEPS] for r in read) > 0


def test_a_group_learns_from_an_ensemble_of_an_earlier_run(
  ring, data, tmp_path
):
  teachers = [f"--codistill.teachers={_newest(ring, g)}" for g in (0, 1)]
  run = _launch(data, tmp_path / "run", "--groups=1", *teachers)
  taught = _scalar(run, 0, "loss/teacher")
  assert list(taught) == list(range(1, STEPS + 1))
  assert set(_scalar(run, 0, "teacher/weight").values()) == {1.0}
  terms = list(taught.values())
  assert np.mean(terms[-10:]) < np.mean(terms[:10])


def test_predictions_go_around_by_any_loss(data, tmp_path):
  run = _launch(
    data,
    tmp_path / "run",
    "--groups=2",
    "--exchange.what=predictions",
    "--exchange.topology=0<1 1<0",
    "--data.window_rows=1024",
    *YIELDING,
  )
  taught = [_scalar(run, group, "loss/teacher") for group in (0, 1)]
  assert sum(map(len, taught)) > 0
  for group in (0, 1):
    published = _scalar(run, group, "exchange/bytes_published")
    # The last snapshot, and two bytes a row of all parts that were finished.
    predicted = published[STEPS] - stamped.size(_newest(run, group))
    assert 2 * 64 * STEPS * 0.8 < predicted <= 2 * 64 * STEPS
