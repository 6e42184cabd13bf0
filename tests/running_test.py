import launching
import pytest

from ctr_codistill import config
from ctr_codistill.criteo import prepared as places
from ctr_codistill.errors import InputError
from ctr_codistill.training import workdir
from pipelines import processes
from pipelines.comparison import running
from pipelines.comparison.running import Folder
from pipelines.display import Display
from pipelines.processes import Plan
from pipelines.supervising.supervision import Supervise


@pytest.fixture
def planned(prepared, tmp_path):
  def plan(name, size):
    flags = {"groups": 1, "training": {"batch_size": size}}
    run = Folder(tmp_path).run(name)
    return Plan(name, config.from_dict(flags), prepared, run)

  return plan


@pytest.fixture
def run(planned, prepared, tmp_path):
  def try_(**batch_sizes):
    plans = [planned(name, size) for name, size in batch_sizes.items()]
    validation = prepared / places.VALIDATION
    running.run(plans, Folder(tmp_path), validation, limit=1)

  return try_


def test_what_was_never_begun_may_change(run):
  # 230 rows: the second is refused, after the first was found right.
  for size in (10, 20):
    with pytest.raises(
      InputError, match="should make a step of batch_size=999"
    ):
      run(first=size, second=999)


def test_what_was_begun_may_not(run, tmp_path):
  with pytest.raises(InputError, match="batch_size=999"):
    run(first=10, second=999)
  workdir.group_folder(Folder(tmp_path).run("first"), 0).mkdir()
  with pytest.raises(InputError, match="batch_size: 10 against 20"):
    run(first=20, second=999)


def test_a_run_that_cannot_be_started_does_not_end_the_others(planned):
  why = {}
  processes.run_all(
    [planned("first", 999), planned("second", 888)],
    Display(),
    limit=1,
    rule=Supervise(),
    failed=lambda plan, error: why.update({plan.name: str(error)}),
  )
  assert "batch_size=999" in why["first"]
  assert "batch_size=888" in why["second"]


def test_a_run_that_is_half_started_leaves_nothing_running(prepared, tmp_path):
  flags = {"groups": 2, "training": {"batch_size": 10}}
  workdir = tmp_path / "run"
  plan = Plan("", config.from_dict(flags), prepared, workdir)
  processes.check(plan.experiment, prepared, workdir)
  (workdir / "group-1" / "worker-0.log").mkdir(parents=True)
  with pytest.raises(InputError, match=r"group 1: .*group-1"):
    processes.Run(plan, Display(), Supervise(restarts=0))
  assert launching.happened(workdir, "started", group=0)
  assert not launching.workers(workdir)
