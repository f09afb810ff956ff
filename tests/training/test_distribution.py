"""Sharing a batch among replicas, and who writes."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.training import distribution
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


@pytest.mark.parametrize(("index", "said"), [(0, "Another run is working in"), (1, "Worker 0, which writes to")])
def test_no_worker_goes_on_where_the_chief_finds_the_folder_held(tmp_path, monkeypatch, index, said):
    strategy = SimpleNamespace(cluster_resolver=SimpleNamespace(task_type="worker", task_id=index))
    heard = []
    # What the chief reports reaches every process: here it is always a refusal.
    monkeypatch.setattr(distribution, "any_process", lambda _, flag: heard.append(flag) or True)
    with only_run_in(tmp_path), pytest.raises(UserError, match=said), distribution.held_by_chief(tmp_path, strategy):
        pytest.fail("the folder is another run's")
    assert heard == [index == 0]


@pytest.mark.parametrize("config", [None, "{}", "{not JSON", "[1]", '{"task": {"type": "worker", "index": 0}}'])
def test_several_machines_need_their_addresses(monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="TF_CONFIG"):
        make_strategy("multiworker")
