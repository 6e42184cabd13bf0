"""The report on churn: its page in a real browser, its files for programs."""

import json
import re
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.churn import ranks
from ctr_codistill.evaluation.churn import report
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.comparison import Comparison

_FLAGS = (
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
  " --disable-background-networking --disable-component-update --disable-sync"
  " --hide-scrollbars --window-size=1000,6000 --enable-logging=stderr"
).split()
_BOXES = """<script>
document.title = JSON.stringify([...document.querySelectorAll("svg")].map(
  svg => [svg.getAttribute("aria-label"), svg.getBoundingClientRect()]));
</script>"""


def _comparison(runs=3, rows=20_000):
  rng = np.random.default_rng(0)
  truth = rng.normal(-1.3, 1.2, rows)
  probability = 1 / (1 + np.exp(-truth - 0.2 * rng.normal(size=(runs, rows))))
  label = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(int)
  cut = Slicing("<site>", values=("a & b", "c"))
  churn = Churn.of(
    probability,
    label=label,
    codes={"<site>": np.arange(rows) % 4},
    slices={"<site>": len(cut.names)},
  )
  order = ranks.of("query", [(np.arange(rows) // 5, probability)], tops=(1,))
  names = tuple(f"run-{i}" for i in range(runs))
  return Comparison(names, churn, churn.qualities, (cut,), order)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """The report of three runs with labels, slices and ranks."""
  path = tmp_path_factory.mktemp("report")
  report.write(_comparison(), path)
  return path


@pytest.fixture
def browse(tmp_path):
  """Runs a real browser; returns what it printed and its console."""
  chromium = shutil.which("chromium") or shutil.which("chromium-browser")
  if not chromium:
    pytest.skip("chromium is not installed: no browser to open the page with")

  def run(path, *flags):
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
      [chromium, *_FLAGS, profile, *flags, path.as_uri()],
      check=True,
      capture_output=True,
      text=True,
      timeout=120,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, said

  return run


def test_a_browser_shows_every_picture_and_says_no_error(
  folder, tmp_path, browse
):
  page = (folder / "report.html").read_text()
  measured, wrong = tmp_path / "measured.html", tmp_path / "wrong.html"
  measured.write_text(page.replace("</body>", _BOXES + "</body>"))
  wrong.write_text(page.replace("</body>", "<script>gone()</script></body>"))
  dom, _ = browse(measured, "--dump-dom")
  title = re.search("<title>(.*?)</title>", dom)[1].replace("&amp;", "&")
  boxes = json.loads(title)
  _, said = browse(
    folder / "report.html", f"--screenshot={tmp_path / 'page.png'}"
  )
  assert said == []
  # The same page with a mistake in it: the console would have told.
  assert "gone is not defined" in browse(wrong, "--dump-dom")[1][0]
  pixels = matplotlib.image.imread(tmp_path / "page.png")[:, :, :3]
  assert len(boxes) == 4
  for name, box in boxes:
    top, left = int(box["top"]), int(box["left"])
    part = pixels[
      top : top + int(box["height"]), left : left + int(box["width"])
    ]
    assert (part.max(axis=2) < 0.5).mean() > 0.002, name  # letters and axes
    assert (np.ptp(part, axis=2) > 0.3).mean() > 0.002, name  # what is drawn


def test_it_prints_on_a_few_pages_of_paper(folder, tmp_path, browse):
  path = tmp_path / "page.pdf"
  browse(folder / "report.html", f"--print-to-pdf={path}")
  pages = len(re.findall(rb"/Type\s*/Page\b", path.read_bytes()))
  assert 2 <= pages <= 8


def test_the_page_tells_one_uncertainty_from_the_other(folder):
  page = (folder / "report.html").read_text()
  assert "Over examples: had other examples come" in page
  assert "Over runs: had other trainings been made" in page
  assert "there is no interval over runs" not in page


def test_of_two_runs_the_page_says_that_runs_have_no_interval(tmp_path):
  path = report.write(_comparison(runs=2, rows=500), tmp_path)
  assert "there is no interval over runs" in path.read_text()


def test_of_two_runs_no_column_of_intervals_over_runs_is_empty(tmp_path):
  comparison = _comparison(runs=2, rows=500)
  page = report.write(comparison, tmp_path).read_text()
  assert "<th>95 %: examples</th>" in page
  assert "<th>95 %: runs</th>" not in page
  assert "95 %: runs" not in report.text(comparison)


def test_the_verdict_is_first_on_the_page_and_in_words(tmp_path):
  found = facts.find(_comparison(runs=2, rows=500))
  (tmp_path / "limits.toml").write_text(
    "[measures]\nmean_absolute = 1e-9\n[slices]\nexamples = 400\nlog_loss = 9"
  )
  limits = gate.read(tmp_path / "limits.toml")
  path = report.write_found(found, tmp_path, gate=gate.judge(found, limits))
  page = path.read_text()
  first, second, *_ = re.findall("<h2>(.*?)</h2>", page)
  assert (first, second) == ("Gate: refused", "How far the runs differ")
  assert "Refused: of 2 limits 1 broken, 1 not judged." in page
  assert "<td>BROKEN</td>" in page
  # 500 rows in four slices
  assert "<td>NOT JUDGED</td>" in page
  assert "no slice has 400 examples, the largest has 125" in page
  value = json.loads((tmp_path / "churn.json").read_text())
  assert value["gate"]["verdicts"][1]["judged"] == 0


def test_the_lead_says_what_moved_and_where(tmp_path):
  rng = np.random.default_rng(0)
  truth, code = rng.normal(-1.3, 1.2, 4000), np.arange(4000) % 2
  # A shift of all, small beside the scatter in one of two slices.
  logit = np.stack([truth, truth + 0.01 + 0.4 * code * rng.normal(size=4000)])
  cut = Slicing("site", values=("a", "b"))
  churn = Churn.of(
    1 / (1 + np.exp(-logit)), codes={"site": code}, slices={"site": 4}
  )
  found = facts.find(Comparison(("old", "new"), churn, None, (cut,)))
  share = found.measures["variance.systematic_share"].value
  assert share < 0.05
  page = report.write_found(found, tmp_path).read_text()
  assert f"{100 * share:.1f} % is that some predict more everywhere" in page
  assert "Beyond chance more moved in site = b.</p>" in page


def test_without_limits_nothing_is_said_of_a_gate(folder):
  assert "gate" not in json.loads((folder / "churn.json").read_text())
  assert "Gate" not in (folder / "report.html").read_text()


def test_small_slices_with_nothing_beyond_chance_are_left_out(tmp_path):
  page = report.write(_comparison(rows=80), tmp_path).read_text()
  assert "4 of fewer than 100 examples" in page
  assert "a &amp; b" not in page


def test_json_has_each_measure_with_both_intervals(folder):
  found = json.loads((folder / "churn.json").read_text())
  for name in ("mean_absolute", "relative", "equal"):
    for kind in ("interval_runs", "interval_examples"):
      low, high = found[kind][name]
      assert low <= found[name] <= high
  for kind in ("interval_runs", "interval_examples"):
    low, high = found[kind]["flips"]["0.5"]
    assert low <= found["flips"]["0.5"] <= high
  assert (found["examples"], found["runs"], found["pairs"]) == (20_000, 3, 3)
  # The largest of some says little of all.
  assert found["interval_examples"]["maximum"] is None
  parts = found["variance"]["systematic"] + found["variance"]["scatter"]
  assert parts == pytest.approx(found["variance"]["total"])


def test_json_has_slices_quality_and_ranks(folder):
  found = json.loads((folder / "churn.json").read_text())
  names = {one["name"]: one["examples"] for one in found["slices"]}
  # Rows 0, 4, ... and 1, 5, ... have values of their own.
  assert names == {"a & b": 5000, "c": 5000, "(other)": 5000, "(none)": 5000}
  assert found["quality"]["log_loss"] == pytest.approx(
    np.mean([run["log_loss"] for run in found["by_run"]])
  )
  differences = found["quality_differences"]
  assert {one["run"] for one in differences} == {"run-1", "run-2"}
  assert found["ranks"]["groups"] == 4000
  low, high = found["ranks"]["interval_examples"]["tau_b"]
  assert low < found["ranks"]["tau_b"] < high


def test_pandas_reads_every_figure_as_a_row(folder):
  table = pd.read_csv(folder / "churn.csv")
  found = json.loads((folder / "churn.json").read_text())
  row = table[(table.scope == "churn") & (table.measure == "mean_absolute")]
  assert row["value"].item() == pytest.approx(found["mean_absolute"])
  low, high = found["interval_runs"]["mean_absolute"]
  assert row["runs_low"].item() == pytest.approx(low)
  assert row["runs_high"].item() == pytest.approx(high)
  assert set(table.scope) == {"churn", "ranks", "quality", "run", "slice"}
