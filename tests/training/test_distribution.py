"""Sharing a batch among replicas, and who writes."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.training.distribution import any_process, is_chief, make_strategy, replica_batch, spans_processes


def test_a_batch_is_shared_equally_or_refused():
    assert replica_batch(SimpleNamespace(num_replicas_in_sync=3), 6) == 2
    for replicas, batch in ((4, 6), (8, 6)):
        with pytest.raises(UserError, match=f"batch of {batch} cannot be shared equally by {replicas} replicas"):
            replica_batch(SimpleNamespace(num_replicas_in_sync=replicas), batch)


@pytest.mark.parametrize(("task", "chief"), [(("worker", 0), True), (("worker", 1), False), ((None, None), True)])
def test_worker_0_writes(task, chief):
    resolver = SimpleNamespace(task_type=task[0], task_id=task[1])
    assert is_chief(SimpleNamespace(cluster_resolver=resolver)) is chief


def test_one_process_decides_alone():
    strategy = make_strategy("single")
    assert is_chief(strategy)
    assert not spans_processes(strategy)
    assert any_process(strategy, True)
    assert not any_process(strategy, False)
    assert strategy is tf.distribute.get_strategy()


@pytest.mark.parametrize("config", [None, "{}", '{"task": {"type": "worker", "index": 0}}'])
def test_several_machines_need_their_addresses(monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="TF_CONFIG"):
        make_strategy("multiworker")
