"""What a working folder holds is not replaced by a run that begins anew."""

import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.training.workdir import check_workdir


@pytest.mark.parametrize(
    ("there", "lost"),
    [
        ([], None),
        (["metrics.csv", "best_l1.keras"], None),  # killed before its first checkpoint, perhaps twice
        (["metrics.csv", "best_l1.keras", "last_l1.keras", "checkpoints/l1/step-000000009.npz"], None),
        (["metrics.csv", "best_l1.keras", "last_l1.keras"], "last_l1.keras would be replaced"),
        (["best_l1.keras"], "best_l1.keras would be replaced"),
        (["best_gan.keras"], None),
        (["run.json"], "run.json is no training run's"),
        (["curves.png"], "curves.png is no training run's"),
    ],
)
def test_models_and_records_without_a_checkpoint_are_kept(tmp_path, there, lost):
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    if lost is None:
        check_workdir(tmp_path, "l1")
        return
    with pytest.raises(UserError, match=lost):
        check_workdir(tmp_path, "l1")
