"""Weights: the queues are tried in a random order by weight, and each that has jobs comes up."""

from collections import Counter
from random import Random

from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed
from lineshaft.store.faulty import FaultyStore

WEIGHTS = {"critical": 5, "default": 3, "bulk": 1}


def engine_with(jobs: dict[str, int], seed: int = 1) -> Engine:
    engine = Engine(FaultyStore(), Settings(), Random(seed).random, 1_700_000_000_000)
    for name, count in jobs.items():
        for number in range(count):
            job = b'{"jid":"%s-%06d","jobtype":"A","args":[],"queue":"%s"}' % (name.encode(), number, name.encode())
            engine.push(decode_pushed(job))
    return engine


def orders(engine: Engine, weights: dict[str, int], times: int) -> Counter[tuple[str, ...]]:
    order = engine.weigh(weights)
    return Counter(tuple(order) for _ in range(times))


def test_each_comes_first_as_often_as_its_weight_says() -> None:
    times = 9000
    found = orders(engine_with(dict.fromkeys(WEIGHTS, 1)), WEIGHTS, times)
    first = Counter[str]()
    for order, count in found.items():
        assert sorted(order) == sorted(WEIGHTS)
        first[order[0]] += count
    # 5 : 3 : 1 of 9, give or take three standard deviations.
    for name, weight in WEIGHTS.items():
        share = weight / 9
        assert abs(first[name] - times * share) < 3 * (times * share * (1 - share)) ** 0.5, first


def test_the_second_is_drawn_by_weight_too() -> None:
    found = orders(engine_with(dict.fromkeys(WEIGHTS, 1)), WEIGHTS, 9000)
    # After critical, default stands to bulk as 3 to 1.
    default, bulk = found["critical", "default", "bulk"], found["critical", "bulk", "default"]
    assert abs(default / (default + bulk) - 0.75) < 3 * (0.75 * 0.25 / (default + bulk)) ** 0.5


def test_what_has_no_jobs_does_not_draw_and_changes_no_share() -> None:
    engine = engine_with({"critical": 1, "bulk": 1})
    engine.pause(["paused"])
    found = orders(engine, {"empty": 1000, **WEIGHTS, "paused": 1000}, 6000)
    assert found.keys() == {("critical", "bulk"), ("bulk", "critical")}
    assert abs(found["critical", "bulk"] - 5000) < 3 * (6000 * 5 / 36) ** 0.5


def test_one_queue_with_jobs_costs_no_chance() -> None:
    engine = engine_with({"bulk": 1})
    engine.state.chance = lambda: 1 / 0
    assert list(engine.weigh(WEIGHTS)) == ["bulk"]
    assert list(engine.weigh({"other": 1})) == []


def test_fetches_follow_the_weights_and_leave_nothing_behind() -> None:
    engine = engine_with(dict.fromkeys(WEIGHTS, 200))
    order, taken = engine.weigh(WEIGHTS), []
    while (payload := engine.fetch(order, "w")) is not None:
        taken.append(next(name for name in WEIGHTS if f'"queue":"{name}"'.encode() in payload))
    assert Counter(taken) == dict.fromkeys(WEIGHTS, 200)
    first = Counter(taken[:180])
    assert first["critical"] > first["default"] > first["bulk"] > 5


def test_the_same_chance_gives_the_same_order() -> None:
    assert orders(engine_with(dict.fromkeys(WEIGHTS, 1), 7), WEIGHTS, 50) == orders(
        engine_with(dict.fromkeys(WEIGHTS, 1), 7), WEIGHTS, 50
    )


def test_chances_at_both_ends_are_fine() -> None:
    engine = engine_with(dict.fromkeys(WEIGHTS, 1))
    for chance in (0.0, 1 - 2**-53):
        engine.state.chance = lambda chance=chance: chance
        assert sorted(engine.weigh(WEIGHTS)) == sorted(WEIGHTS)


def test_a_session_s_weights_outlive_a_reload_of_the_store() -> None:
    engine = engine_with({"bulk": 1})
    order = engine.weigh(WEIGHTS)
    engine.commit()
    engine.reload(engine.state.turn.store)
    assert list(order) == ["bulk"]
    assert engine.fetch(order, "w") is not None
    assert list(order) == []
