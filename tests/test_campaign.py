"""The campaign study: real stage graphs, played through on clusters that nobody has."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchbox.runs.sharding import in_shards
from benchbox.studies.campaign import play, seconds_of
from benchbox.studies.campaign_stages import campaign_stages
from benchbox.studies.campaign_table import campaign_table
from benchbox.studies.campaign_tasks import Task, assumed, tasks_of


@pytest.fixture(scope="module")
def stages():
    return campaign_stages([Path("grids/transfer.toml")], datasets=["market1501"], seeds=[0])


@pytest.fixture(scope="module")
def rates(stages):
    return assumed(stages, trained=1_000, ascended=1_500, embedded=3_000, load=10)


def test_an_attacks_seconds_are_its_gradients_at_the_given_rate(stages, rates):
    tasks = {task.key: task for task in tasks_of(stages, rates)}
    assert len(tasks) == len(stages)
    fna = next(s for s in stages if s.kind == "attack" and s.attack.name == "fna")
    # 3,368 queries; 16 gradients at each of two budgets, of which the first 8 are shared; embedded
    # once a budget.
    expected = 10 + 3_368 * 24 / 1_500 + 3_368 * 2 / 3_000
    assert tasks[fna.key].seconds == pytest.approx(expected)
    assert tasks[fna.key].held == 4 * 2_048 * 3_368 * 2


def test_shards_do_the_same_work_and_end_sooner(stages, rates):
    whole = tasks_of(stages, rates)
    sharded = tasks_of([*in_shards(stages, queries=0, batch_size=256)], rates)
    joined = [t for t in sharded if any(need.kind == "shard" for need in t.needs)]
    shards = [task for task in sharded if task.kind == "shard"]
    assert joined
    assert {task.key for task in joined} < {task.key for task in whole}
    started_anew = len(shards) - len(joined)
    assert sum(map(seconds_of, sharded)) == pytest.approx(
        sum(map(seconds_of, whole)) + 10 * started_anew
    )
    few, many = play(whole, [64]).played[0], play(sharded, [64]).played[0]
    assert many.hours < few.hours


def test_one_device_works_all_the_time_and_many_wait_for_the_longest_chain(stages, rates):
    tasks = [replace(task, on_device=True) for task in tasks_of(stages, rates)]
    campaign = play(tasks, [1, 1_000])
    alone, crowd = campaign.played
    assert alone.hours == pytest.approx(sum(map(seconds_of, tasks)) / 3600)
    assert alone.utilisation == pytest.approx(1)
    assert crowd.hours == pytest.approx(campaign.path_hours)


def test_by_hand():
    train = Task("t", "train", "train", (), True, 3600.0, 100.0)
    attacks = [Task(f"a{n}", "attack", "attack", (train,), True, 1800.0, 10.0) for n in range(3)]
    campaign = play([train, *attacks], [1, 2, 3])
    assert [one.hours for one in campaign.played] == [2.5, 2.0, 1.5]
    assert [one.utilisation for one in campaign.played] == pytest.approx([1, 2.5 / 4, 2.5 / 4.5])
    assert (campaign.held, campaign.moved) == (130.0, 130.0 + 3 * 100.0)
    assert campaign.path_hours == 1.5
    table = campaign_table(campaign, campaign, about="By hand.")
    assert [row[1].text for row in table.rows] == ["2.5", "2.0", "1.5"]
    assert not math.isnan(campaign.played[0].megabytes)
