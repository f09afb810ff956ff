"""docs/scale.md: the committed page is the generator's, and its arithmetic is a hand calculation's."""

import pytest

from benchmarks import scale

UNIT = scale.Costs(
    cores=2,
    prepared_voxels=1_000_000,
    prepare=2.0,
    prepare_gb=0.5,
    pairs_a_second=300.0,
    l1_step=2.0,
    critic_step=3.0,
    generator_step=4.0,
    inferred_voxels=2_000_000,
    infer=10.0,
    in_eight_bits=0.6,
    infer_gib=1.5,
)
STUDY = scale.Study("a thousand scans of four million voxels", 1_000, (200, 200, 100))


def test_the_page_is_generated():
    assert scale.PAGE.read_text(encoding="utf-8") == scale.page()


def test_preparation():
    found = scale.preparation(STUDY, UNIT)
    assert found["core_hours"] == pytest.approx(8_000 / 3600)  # 8 s a scan
    assert found["hours_8"] == pytest.approx(1_000 / 3600)
    assert found["scans_tb"] == pytest.approx(0.008)
    assert found["shards_gb"] == pytest.approx(1_000 * 18 * 256_000 / 1e9)  # 2 cubes of 40^3 voxels of 2 bytes


def test_training():
    found = scale.training(UNIT)
    assert found["l1_days"] == pytest.approx(1_600_000 / 86_400)  # 800,000 steps of 2 s
    assert found["gan_days"] == pytest.approx((3_270_000 + 800_000) / 86_400)
    assert found["times_faster_for_a_week"] == pytest.approx(5_670_000 / 86_400 / 7)
    assert found["feeds"] == pytest.approx(100)  # 50 batches a second where one takes 2 s


def test_inference():
    assert scale.seconds_of_a_scan(STUDY, UNIT) == pytest.approx(20)  # ten for half as many voxels
    found = scale.inference(STUDY, UNIT)
    assert found["hours"] == pytest.approx(20_000 / 3600)  # 20 s a scan
    assert found["machines_for_a_week"] == pytest.approx(20_000 / 3600 / 168)
    assert found["results_tb"] == pytest.approx(0.016)
