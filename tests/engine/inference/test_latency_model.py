"""How many texts may be written at once, from what steps and texts have cost."""

from engine.inference.latency import LatencyModel


def most(forecast: LatencyModel, *, others: int = 0, max_tokens: int = 400, seconds: float = 0.0) -> int:
    """How many texts an answer may have beside so many rows of others."""

    def is_allowed(texts: int) -> bool:
        return forecast.allows([others + texts], texts, max_tokens=max_tokens, seconds=seconds)

    return next((texts - 1 for texts in range(2, 65) if not is_allowed(texts)), 64)


def measured(row_costs: float, *, lengths: list[int], step: float = 0.003) -> LatencyModel:
    """A forecast after many answers on a machine where a step of r rows costs 1 + row_costs (r - 1) of one."""
    forecast = LatencyModel()
    for _ in range(300):
        for rows in (8, 6, 3, 1, 1, 1):
            forecast.observe_step(rows, step * (1.0 + row_costs * (rows - 1)))
        forecast.observe_answer(lengths)
    return forecast


def test_nothing_is_known_at_first_and_a_few_texts_are_tried() -> None:
    assert 2 <= most(LatencyModel(), seconds=60.0) <= 8


def test_cheap_rows_allow_many_texts_and_dear_ones_none() -> None:
    even = [60] * 8
    counts = [most(measured(cost, lengths=even)) for cost in (0.01, 0.05, 0.2, 2.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 64
    assert counts[-1] == 1


def test_twice_the_time_of_a_single_text_is_allowed_in_any_case() -> None:
    assert 9 <= most(measured(0.1, lengths=[60] * 8)) <= 11, "1 + 0.1 x 10 = 2"


def test_more_are_allowed_where_they_come_within_the_time_that_is_asked_for() -> None:
    real = measured(0.02, lengths=[80] * 8, step=0.04)  # as a model of 135 M on two cores: 80 tokens alone take 3.2 s
    assert most(real, seconds=6.0) > 16 > most(real, others=48, seconds=6.0) >= 1
    slow = measured(0.3, lengths=[80] * 8, step=0.04)
    assert most(slow) == most(slow, seconds=6.0) == 4, "twice a single text's 3.2 s is longer than that"
    assert most(slow) < most(slow, seconds=9.0) < most(slow, seconds=20.0)


def test_short_texts_are_soon_there() -> None:
    forecast = measured(0.3, lengths=[80] * 8, step=0.04)
    assert most(forecast, max_tokens=8, seconds=3.0) > most(forecast, seconds=3.0)


def test_uneven_lengths_allow_fewer() -> None:
    even = most(measured(0.05, lengths=[60] * 8))
    assert most(measured(0.05, lengths=[20, 30, 40, 50, 60, 70, 80, 130])) < even


def test_whoever_else_is_served_leaves_less() -> None:
    forecast = measured(0.1, lengths=[60] * 8)
    counts = [most(forecast, others=others) for others in (0, 3, 6, 12)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 1
    assert not forecast.allows([4, 4], 4, max_tokens=400, seconds=0.0), "two batches are two steps"


def test_the_speed_of_the_machine_does_not_matter_where_no_time_is_asked_for() -> None:
    slow, fast = (measured(0.1, lengths=[60] * 8, step=step) for step in (0.1, 0.001))
    assert most(slow) == most(fast)


def test_a_bad_minute_is_forgotten() -> None:
    forecast = measured(0.05, lengths=[60] * 8)
    before = most(forecast)
    for _ in range(30):
        forecast.observe_step(8, 3.0)
    assert most(forecast) < before
    for _ in range(200):  # answers of one text, since no more are allowed
        forecast.observe_step(1, 0.003)
        forecast.observe_answer([60])
    assert most(forecast) >= 2
