"""The search for a GAN: what is measured of a trial, and the table that is made of it."""

import numpy as np
import pytest

from benchmarks import gan_search


def test_scores_of_a_volume_whose_answers_are_known():
    rng = np.random.default_rng(0)
    truth = 100 + rng.normal(size=(34, 34, 8)).astype(np.float32)  # 17 samples are kept: none is at the limit
    head = np.ones(truth.shape, bool)
    low_res = gan_search.degrade(truth, (2, 2), (0, 1), "sinc")
    itself = gan_search.scores(truth, truth, low_res, head)
    assert (itself["gain"], itself["band_db"], itself["band_corr"]) == (None, 0.0, 1.0)
    # Half of the error gone: a quarter of its power, 6.02 dB; half of the removed detail is there, all of it true.
    halfway = gan_search.scores((truth + low_res) / 2, truth, low_res, head)
    assert halfway["gain"] == pytest.approx(6.021, abs=0.001)
    assert halfway["band_db"] == pytest.approx(-6.02, abs=0.01)
    assert halfway["band_corr"] == pytest.approx(1.0, abs=0.001)


def test_a_trial_is_known_by_its_card():
    notes = {"phase": "gan", "step": 450, "changed": ["patch_size=24", "gan.adversarial_weight=0.005", "l1.steps=9"]}
    assert gan_search.settings(notes) == {
        "phase": "gan",
        "step": 450,
        "gan.adversarial_weight": "0.005",
        "patch_size": "24",
    }
    flags = {"weight": 0.002, "rate": 5e-5, "patch": 40, "batch": 8}
    on_gpu = {"phase": "gan", "step": 560, "mean": {"steps": [170, 560]}, "trained_with": {"settings": flags}}
    assert gan_search.settings(on_gpu) == {
        "phase": "gan",
        "step": "mean of 170, 560",
        "gan.adversarial_weight": 0.002,
        "gan.learning_rate": 5e-5,
        "patch_size": 40,
    }
    assert gan_search.settings(on_gpu | {"phase": "l1"}) == {"phase": "l1", "step": 560}


def test_the_table_holds_means_over_the_scans():
    def scan(gain, piqe):
        plain = {"gain": None, "band_db": 0.0, "band_corr": 1.0, "piqe": piqe}
        return {
            "original": plain,
            "sinc": plain,
            "gan": {"gain": gain, "band_db": -2.0, "band_corr": 0.5, "piqe": piqe},
        }

    record = {
        "config": {"models": ["gan"]},
        "results": {"settings": {"gan": {"step": 7}}, "scans": {"a": scan(1.0, 20.0), "b": scan(0.0, 30.0)}},
        "started": "2026-01-02T03:04:05",
        "device": {"processor": "P", "cores": 2},
        "versions": {"mdcsrn_tf": "0"},
    }
    lines = gan_search.section(record).splitlines()
    assert "| gan |  |  | 7 | +0.50 | -2.0 | 0.500 | 25.0 |" in lines
    assert "trials on 2 validation scans" in lines[0]
