"""How long a queue will take is reckoned from how fast requests have finished lately."""

from engine.inference.scheduler import FinishRate


def test_the_wait_is_the_queue_over_the_measured_rate_rounded_up() -> None:
    rate = FinishRate()
    rate.start(100.0)
    for moment in (102.0, 104.0, 106.0):  # one in two seconds
        rate.finish(moment)
    assert rate.seconds_for(5, now=106.0) == 10
    assert rate.seconds_for(5, now=107.5) == 13  # 5 x 7.5 / 3: nothing has finished since


def test_it_is_a_second_at_least_and_a_minute_at_most_and_a_second_while_nothing_is_known() -> None:
    rate = FinishRate()
    rate.start(0.0)
    assert rate.seconds_for(1000, now=30.0) == 1
    rate.finish(30.0)
    assert rate.seconds_for(1000, now=30.0) == 60
    for moment in range(1, 500):
        rate.finish(30.0 + moment / 100)
    assert rate.seconds_for(3, now=35.0) == 1


def test_idle_time_does_not_count() -> None:
    rate = FinishRate()
    rate.start(0.0)
    rate.finish(1.0)
    rate.start(1000.0)
    rate.finish(1001.0)
    assert rate.seconds_for(4, now=1001.0) == 4
