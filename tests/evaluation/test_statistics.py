"""Means and paired intervals over scans."""

import numpy as np
import pytest
from scipy import stats

from mdcsrn_tf.evaluation.plan import Conventions
from mdcsrn_tf.evaluation.statistics import FEWEST_PAIRS, compare_all


def values(subjects):
    random = np.random.default_rng(1)
    one = {f"sub-{k}": 30 + 3 * random.normal() for k in range(subjects)}
    return {"a": {"psnr": one}, "b": {"psnr": {name: v - 0.5 + 0.1 * random.normal() for name, v in one.items()}}}


def test_methods_are_compared_scan_by_scan():
    found = values(FEWEST_PAIRS)
    (pair,) = compare_all(found, ["psnr"], Conventions())
    difference = np.array([found["a"]["psnr"][s] - found["b"]["psnr"][s] for s in found["a"]["psnr"]])
    assert pair.subjects == FEWEST_PAIRS and pair.difference == pytest.approx(difference.mean())
    assert 0.3 < pair.low < pair.difference < pair.high < 0.7
    assert pair.p_value == pytest.approx(stats.wilcoxon(difference).pvalue)
    again = stats.bootstrap((difference,), np.mean, n_resamples=10_000, method="percentile", random_state=5)
    assert (pair.low, pair.high) == pytest.approx(again.confidence_interval, abs=0.01)


def test_too_few_scans_have_no_interval():
    assert compare_all(values(FEWEST_PAIRS - 1), ["psnr"], Conventions()) == []


def test_of_methods_that_are_alike_there_is_nothing_to_test():
    same = values(FEWEST_PAIRS)["a"]
    (pair,) = compare_all({"a": same, "b": same}, ["psnr"], Conventions(bootstrap=10))
    assert (pair.difference, pair.low, pair.high) == (0, 0, 0) and np.isnan(pair.p_value)
