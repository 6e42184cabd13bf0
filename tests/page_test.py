import html.parser
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ctr_codistill.evaluation import arms_page
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import report as churn_report
from ctr_codistill.evaluation.churn import slicing
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.predictions import Batch
from ctr_codistill.evaluation.quality import figures
from ctr_codistill.evaluation.quality import report as quality_report
from ctr_codistill.evaluation.quality.sums import Scores

_FLAGS = (
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
  " --disable-background-networking --disable-component-update --disable-sync"
  " --hide-scrollbars --window-size=900,2600"
).split()


class _References(html.parser.HTMLParser):
  """Collects what a page would fetch, and counts its tags."""

  def __init__(self):
    super().__init__()
    self.fetched, self.tags = [], []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    for name, value in attrs:
      if name in ("src", "srcset", "data", "action", "poster") or (
        name.endswith("href")
      ):
        if not value.startswith(("#", "data:")):
          self.fetched.append((tag, name, value))


def _arms_page(folder, arms):
  steps = list(range(0, 100, 10))
  entries = [
    {
      "name": f"arm {i} with a name of several words & a <tag>",
      "repeats": 2,
      "log_loss": 0.475 + 0.001 * (i % 5),
      "auc": 0.77,
      "normalized_entropy": 0.83,
      "calibration": 1.0,
      "churn": {"mean_absolute": 0.03 / (1 + i), "relative": 0.1},
    }
    for i in range(arms)
  ]
  lines = {f"arm {i}": (steps, [1 / (1 + s) for s in steps]) for i in range(12)}
  curves = {"validation log loss": lines}
  return arms_page.write(entries, folder, title="Arms", curves=curves)


def _churn_page(folder, runs):
  rng = np.random.default_rng(0)
  logits = rng.normal(-1.3, 1.2, 20_000)
  probability = 1 / (
    1 + np.exp(-logits - 0.2 * rng.normal(size=(runs, 20_000)))
  )
  label = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
  comparison = Comparison(
    tuple(f"<run {i}>" for i in range(runs)),
    Churn.of(probability),
    tuple(Quality.of(row, label) for row in probability),
  )
  return churn_report.write(comparison, folder)


def _quality_page(folder):
  rng = np.random.default_rng(0)
  logits = rng.normal(-1.3, 1.2, 20_000)
  label = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(np.int8)
  site = pa.array([f"<site {i}>" for i in rng.integers(0, 30, 20_000)])
  (cut,) = slicing.survey([{"site": site}], slices=20)
  found = {}
  for name, off in (("<model 1>", 0.0), ("model 2", 0.3)):
    shown = (1 / (1 + np.exp(-logits - off))).astype(np.float32)
    batch = Batch(np.arange(20_000), shown, label, {"site": site})
    found[name] = figures.of(Scores.of(batch, [cut]), [cut])
  return quality_report.write(found, folder)


_PAGES = {
  "three arms": lambda folder: _arms_page(folder, 3),
  "twelve arms": lambda folder: _arms_page(folder, 12),
  "two runs": lambda folder: _churn_page(folder, 2),
  "seven runs": lambda folder: _churn_page(folder, 7),
  "two models": _quality_page,
}
_PICTURES = {
  "three arms": 3,
  "twelve arms": 3,
  "two runs": 3,
  "seven runs": 3,
  "two models": 2,
}


@pytest.mark.parametrize("name", _PAGES)
def test_a_page_fetches_nothing_and_runs_nothing(tmp_path, name):
  text = _PAGES[name](tmp_path).read_text()
  parser = _References()
  parser.feed(text)
  assert parser.fetched == []
  assert not {"script", "link", "iframe", "object"} & set(parser.tags)
  assert "url(http" not in text
  assert "@import" not in text
  assert parser.tags.count("svg") == _PICTURES[name]


@pytest.mark.parametrize("name", ["twelve arms", "two runs", "two models"])
def test_a_browser_shows_the_page(tmp_path, name):
  chromium = shutil.which("chromium") or shutil.which("chromium-browser")
  if not chromium:
    pytest.skip("chromium is not installed: no browser to open the page with")
  path, picture = _PAGES[name](tmp_path), tmp_path / "page.png"
  profile = f"--user-data-dir={tmp_path / 'profile'}"
  subprocess.run(
    [chromium, *_FLAGS, profile, f"--screenshot={picture}", path.as_uri()],
    check=True,
    capture_output=True,
    timeout=120,
  )
  pixels = matplotlib.image.imread(picture)[:, :, :3]
  # Text is dark on white; bars, lines and cells of the pictures are coloured.
  dark = (pixels.max(axis=2) < 0.3).mean()
  coloured = (np.ptp(pixels, axis=2) > 0.3).mean()
  assert dark > 0.005
  assert coloured > 0.005
  assert (pixels.min(axis=2) > 0.99).mean() > 0.5


def test_texts_and_cells_are_escaped():
  table = pd.DataFrame({"<arm>": ["a & b"], "n": ["<1>"]})
  text = page.page(
    "<title>", "one\n\n<two>", [Section("<h>", "<t>", table, caption="<c>")]
  )
  for wanted in ("&lt;arm&gt;", "a &amp; b", "&lt;1&gt;", "<p>&lt;c&gt;</p>"):
    assert wanted in text
  assert '<p class="lead">one</p>\n<p class="lead">&lt;two&gt;</p>' in text


def test_what_a_section_lacks_is_left_out():
  text = page.page("t", "", [Section("Only a heading")])
  assert "<h2>Only a heading</h2>" in text
  assert "<figure>" not in text
  assert "<table" not in text


def test_a_text_table_lines_up():
  table = pd.DataFrame({"arm": ["a", "longer"], "x": ["1", "22.5"]})
  assert page.text_table(table).splitlines() == [
    "arm        x",
    "------------",
    "a          1",
    "longer  22.5",
  ]
