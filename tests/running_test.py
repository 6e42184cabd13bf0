import pytest

from ctr_codistill import config
from ctr_codistill.criteo import prepared as places
from ctr_codistill.errors import InputError
from ctr_codistill.training import workdir
from pipelines.comparison import running
from pipelines.comparison.running import Folder
from pipelines.processes import Plan


@pytest.fixture
def run(prepared, tmp_path):
  folder = Folder(tmp_path)

  def try_(**batch_sizes):
    plans = [
      Plan(
        name,
        config.from_dict({"groups": 1, "training": {"batch_size": size}}),
        prepared,
        folder.run(name),
      )
      for name, size in batch_sizes.items()
    ]
    running.run(plans, folder, prepared / places.VALIDATION, limit=1)

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
