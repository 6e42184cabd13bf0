"""The page docs/your_logs.md: its commands, from lines to a promotion."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "your_logs.md").read_text()
STEP = 10
# Appended, so that two trainings take seconds.
TINY = {
  "pipelines.launch": f"--training.max_steps={STEP} --model.hidden=8"
  " --model.embedding_dim=2 --training.batch_size=64 --training.threads=1",
}


def _blocks(kind):
  return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def _commands():
  return [line for block in _blocks("sh") for line in block.splitlines()]


def _log(path, rows, seed):
  random = np.random.RandomState(seed)
  clicks = random.poisson(3, rows)
  chance = 1 / (1 + np.exp(1.5 - 0.3 * clicks))
  made = {
    "impression_id": [f"i{seed}_{i}" for i in range(rows)],
    "clicked": (random.rand(rows) < chance).astype(int),
    "price_cents": random.randint(1, 2000, rows),
    "user_clicks": clicks,
    "country": random.choice(["DE", "US", "BR"], rows),
    "publisher": [f"p{i}" for i in random.randint(0, 20, rows)],
    "ad": [f"a{i}" for i in random.randint(0, 30, rows)],
  }
  pd.DataFrame(made).to_csv(path, index=False)


@pytest.fixture
def folder(tmp_path):
  """Where the page's commands start: made logs, and the page's files."""
  (tmp_path / "logs").mkdir()
  for day in (1, 2):
    _log(tmp_path / "logs" / f"day_{day}.csv", 600, day)
  _log(tmp_path / "held_out.csv", 300, 3)
  _log(tmp_path / "day.csv", 300, 4)
  layout, limits = _blocks("toml")
  (tmp_path / "layout.toml").write_text(layout)
  # Models that learned so little churn more than the page's limits allow.
  wide = re.sub(r"= [\d.e-]+$", "= 1", limits, flags=re.MULTILINE)
  (tmp_path / "limits.toml").write_text(wide)
  return tmp_path


def _run(line, folder):
  words = shlex.split(line.replace("STEP", str(STEP)))
  if words[0] == "python":
    words[0] = sys.executable
    words += shlex.split(TINY.get(words[2], ""))
  done = subprocess.run(
    words,
    cwd=folder,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
  return done.stdout


def test_the_commands_of_the_page_lead_to_a_promotion(folder):
  said = {line: _run(line, folder) for line in _commands()}
  (shown,) = (out for line, out in said.items() if line.startswith("ls "))
  assert str(STEP) in shown.split()
  for made in (
    "churn/report.html",
    "clicks/1/saved_model.pb",
    "report/report.html",
    "clicks/2/saved_model.pb",
    "nights/1/night.json",
  ):
    assert (folder / made).is_file(), made


def test_its_two_trainings_are_two_launches_of_other_seeds():
  launches = [line for line in _commands() if "pipelines.launch" in line]
  assert len({re.search(r"--workdir=(\w+)", one)[1] for one in launches}) == 2
  assert len({re.search(r"seed=(\d+)", one)[1] for one in launches}) == 2
  (churn,) = (line for line in _commands() if "pipelines.churn" in line)
  runs = re.search(r"--runs=(\S+)", churn)[1].split(",")
  asked = [
    re.search(r"--snapshot=(\w+)/", line)[1]
    for line in _commands()
    if any(f"--output={run}" in line for run in runs)
  ]
  assert sorted(asked) == ["RUN1", "RUN2"]
