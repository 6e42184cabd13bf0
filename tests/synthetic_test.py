import hashlib
import math

import numpy as np
import pytest

from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.made import click_model
from ctr_codistill.criteo.made import draws
from ctr_codistill.criteo.made import population
from ctr_codistill.criteo.made import raw_text
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.synthetic import Spec
from ctr_codistill.errors import InputError


@pytest.fixture(scope="module")
def clicks():
  return synthetic.rows(Spec(), 0, 60_000)


def _column(clicks, name):
  if name[0] == "I":
    return clicks.numerics[:, int(name[1:]) - 1]
  return clicks.categories[:, int(name[1:]) - 1]


def test_the_same_seed_gives_these_bytes_on_every_stack():
  spec = Spec(seed=7, rows_per_day=1000, drift=0.1, fresh=0.05)
  text = synthetic.text(synthetic.rows(spec, 0, 5000))
  assert hashlib.sha256(text).hexdigest() == (
    "bd0614619347f2206f02f1c8dd9b381876dd8908065def40548a9dec8d0ced7d"
  )


def test_another_seed_gives_other_bytes():
  one, other = (
    synthetic.text(synthetic.rows(Spec(seed=seed), 0, 10)) for seed in (0, 1)
  )
  assert one != other


def test_rows_are_the_same_in_any_chunking(clicks):
  for start, stop in ((0, 1), (5, 16_385), (16_383, 20_000), (59_999, 60_000)):
    part = synthetic.rows(Spec(), start, stop)
    np.testing.assert_array_equal(part.numbers, np.arange(start, stop))
    np.testing.assert_array_equal(part.labels, clicks.labels[start:stop])
    np.testing.assert_array_equal(part.numerics, clicks.numerics[start:stop])
    np.testing.assert_array_equal(part.levels, clicks.levels[start:stop])
    np.testing.assert_array_equal(
      part.categories, clicks.categories[start:stop]
    )


def test_a_row_far_away_costs_no_row_before_it():
  part = synthetic.rows(Spec(), 10**15, 10**15 + 3)
  assert part.numerics.shape == (3, 13)
  assert part.categories.shape == (3, 26)


def test_an_empty_range_is_no_row():
  none = synthetic.rows(Spec(), 4, 4)
  assert none.labels.shape == (0,)
  assert synthetic.text(none) == b""


def test_the_text_says_what_the_arrays_say(clicks):
  part = synthetic.rows(Spec(), 0, 3000)
  lines = synthetic.text(part).decode().split("\n")
  assert lines.pop() == ""
  cells = [line.split("\t") for line in lines]
  assert {len(row) for row in cells} == {40}
  assert [int(row[0]) for row in cells] == part.labels.tolist()
  numbers = [[int(cell or MISSING) for cell in row[1:14]] for row in cells]
  assert numbers == part.numerics.tolist()
  for place in range(26):
    codes = [row[14 + place] for row in cells]
    indices = part.categories[:, place].tolist()
    assert all(
      len(c) == (0 if i == MISSING else 8) for c, i in zip(codes, indices)
    )
    # One to one: as many pairs as codes and as indices.
    assert len(set(zip(codes, indices))) == len(set(codes)) == len(set(indices))


def test_a_line_looks_like_this():
  numerics = np.full((13, 1), MISSING, np.int32)
  numerics[:6, 0] = [-3, 0, 999, 1000, 1_234_007, 9_999_999]
  codes = np.arange(26, dtype=np.uint32)[:, None] + np.uint32(0xABC0_0000)
  empty = np.zeros((26, 1), bool)
  empty[1:25] = True
  line = raw_text.text(
    labels=np.array([1], np.int8), numerics=numerics, codes=codes, empty=empty
  )
  assert line == (
    b"1\t-3\t0\t999\t1000\t1234007\t9999999" + 7 * b"\t"
    + b"\tabc00000" + 25 * b"\t" + b"abc00019\n"
  )  # fmt: skip


def test_clicks_come_at_their_true_rate_at_every_level(clicks):
  for part in np.array_split(np.argsort(clicks.levels), 20):
    p = clicks.probabilities[part]
    deviation = math.sqrt(np.sum(p * (1 - p)))
    assert abs(clicks.labels[part].sum() - p.sum()) < 4 * deviation


@pytest.mark.parametrize("rate", [0.03, 0.25, 0.6])
def test_the_click_rate_is_the_chosen_one(rate):
  made = synthetic.rows(Spec(click_rate=rate), 0, 40_000)
  assert made.probabilities.mean() == pytest.approx(rate, rel=0.03)


def test_without_signal_every_row_has_the_click_rate():
  made = synthetic.rows(Spec(signal=0.0, click_rate=0.5), 0, 1000)
  assert np.ptp(made.levels) == 0
  assert made.probabilities[0] == pytest.approx(0.5, abs=1 / 1024)


def test_more_signal_spreads_the_probabilities():
  spread = [
    synthetic.rows(Spec(signal=signal), 0, 8192).probabilities.std()
    for signal in (0.5, 1.0, 2.0)
  ]
  assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize(
  ("name", "share"),
  [("I1", 0.45), ("I2", 0), ("I4", 0.21), ("I12", 0.77), ("C1", 0),
   ("C3", 0.034), ("C6", 0.12), ("C19", 0.44), ("C22", 0.76)],
)  # fmt: skip
def test_missing_rates_are_near_the_published_ones(clicks, name, share):
  missing = (_column(clicks, name) == MISSING).mean()
  assert missing == pytest.approx(share, abs=0.03)


def test_columns_of_a_bundle_are_missing_together(clicks):
  for bundle in (("I1", "I10"), ("I4", "I13"), ("C3", "C12"), ("C19", "C26")):
    one, other = (_column(clicks, name) == MISSING for name in bundle)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  ("name", "low", "median", "high"),
  [("I1", 0, 1, 400), ("I2", -3, 4, 10_000), ("I5", 0, 1800, 2_000_000),
   ("I10", 0, 1, 8)],
)  # fmt: skip
def test_integers_have_their_ranges(clicks, name, low, median, high):
  values = _column(clicks, name)
  values = values[values != MISSING]
  assert values.min() == low
  assert values.max() < high
  assert abs(np.median(values) - median) <= 0.3 * median


@pytest.mark.parametrize(
  ("name", "values"), [("C9", 3), ("C20", 4), ("C17", 10), ("C14", 27)]
)
def test_small_columns_have_all_their_values(clicks, name, values):
  seen = set(_column(clicks, name).tolist()) - {MISSING}
  assert seen <= set(range(values))
  assert len(seen) >= 0.8 * values


def test_large_columns_have_a_heavy_tail(clicks):
  values, counts = np.unique(_column(clicks, "C3"), return_counts=True)
  ranked = np.sort(counts[values != MISSING])[::-1]
  assert 0.02 < ranked[0] / 60_000 < 0.08
  assert (counts == 1).sum() > 10_000


def test_some_columns_are_near_copies_of_others(clicks):
  pairs = {tuple(pair) for pair in clicks.categories[:, [2, 11]].tolist()}
  assert len(pairs) == len({ad for ad, _ in pairs})  # C12 follows from C3


def test_whole_tuples_come_again(clicks):
  tuples = np.unique(clicks.categories[:, [0, 1, 2, 6, 9]], axis=0)
  assert 0.5 < len(tuples) / 60_000 < 0.9


def test_a_thing_is_replaced_when_its_days_are_full():
  # 0.25 of a turn a day: phase 0 turns on days 4 and 8, phase 3/4 on 1 and 5.
  days = np.array([0, 3, 4, 7, 8])
  early = np.full(5, 3 * 2**14, np.uint64)
  zero = np.zeros(5, np.uint64)
  assert population.generation(days, zero, 0.25).tolist() == [0, 0, 1, 1, 2]
  assert population.generation(days, early, 0.25).tolist() == [0, 1, 1, 2, 2]


def test_on_the_first_day_nothing_has_drifted():
  calm = synthetic.rows(Spec(), 0, 2000)
  moving = synthetic.rows(Spec(drift=0.2, fresh=0.2), 0, 2000)
  np.testing.assert_array_equal(calm.categories, moving.categories)
  assert np.ptp(calm.levels - moving.levels) == 0  # the day's own level


def test_drift_changes_effects_a_little_every_day(clicks):
  part = slice(0, 8192)
  numerics, categories = clicks.numerics[part].T, clicks.categories[part].T
  first, next_day, late = (
    click_model.scores(
      0,
      numerics=numerics,
      categories=categories,
      days=np.full(8192, day),
      drift=0.1,
    )
    for day in (0, 1, 10)
  )
  near, far = (np.corrcoef(first, s)[0, 1] for s in (next_day, late))
  assert 0.8 < near < 0.995
  assert far < near - 0.1


def test_fresh_ads_take_the_place_of_old_ones():
  spec = Spec(rows_per_day=10_000, fresh=0.2)
  # The most frequent ads of day 0: after 5 days each was replaced once.
  first, late = (
    _column(synthetic.rows(spec, day * 10_000, (day + 1) * 10_000), "C3")
    for day in (0, 6)
  )
  assert not set(first[first != MISSING]) & set(late.tolist())


def test_quantiles_share_the_draws_out():
  halves = draws.quantiles(((0.0, 0), (0.5, 1), (1.0, 5)), offset=10**12)
  eighths = np.arange(8, dtype=np.uint64) * np.uint64(2**29)
  middles = eighths + np.uint64(2**28)
  assert halves.pick(middles).tolist() == [0, 0, 0, 0, 1, 2, 3, 4]


def test_quantiles_grow_geometrically():
  # 1 + value goes from 1 to 8: 8^(1/6) = 1.4, 8^(1/2) = 2.8, 8^(5/6) = 5.7.
  found = draws.quantiles(((0.0, 0), (1.0, 7)))
  sixths = np.array([2**32 // 6, 2**31, 2**32 // 6 * 5], np.uint64)
  assert found.pick(sixths).tolist() == [0, 1, 4]


def test_a_bell_has_mean_0_and_deviation_209():
  found = draws.bell(draws.bits64(draws.key(0, "test"), np.arange(100_000)))
  assert abs(found.mean()) < 3
  assert found.std() == pytest.approx(209, rel=0.01)


def test_bits_are_splitmix64():
  # Of Vigna's splitmix64 with seed 0: the first two numbers.
  found = draws.bits64(np.uint64(0), np.array([1, 2]))
  assert found.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_sigmoids_are_parts_of_two_to_the_32():
  table = draws.sigmoids(4, 1)  # at -2, -1, 0, 1
  assert table.tolist() == [
    round(2**32 / (1 + math.exp(-x))) for x in (-2, -1, 0, 1)
  ]


@pytest.mark.parametrize(
  ("field", "value"),
  [("seed", -1), ("seed", 1.5), ("click_rate", 0.0), ("click_rate", "0.3"),
   ("signal", math.nan), ("signal", 5.0), ("rows_per_day", 0),
   ("drift", 1.5), ("fresh", -0.1), ("seed", True)],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value(field, value):
  with pytest.raises(InputError, match=f"spec.{field} should be .*{value}"):
    Spec(**{field: value})


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (0, 2**61)])
def test_a_wrong_range_is_named(start, stop):
  with pytest.raises(InputError, match=f"is {start} to {stop}"):
    synthetic.rows(Spec(), start, stop)
