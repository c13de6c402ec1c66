"""A budget of memory that threads share."""

import threading

import pytest

from adain_lit.io.memory import LEAST_BUDGET, MOST_BUDGET, MemoryBudget, feature_budget


def test_threads_that_need_more_than_is_left_wait_and_all_come_through() -> None:
    """Oracle: a counter of what is held, by the threads themselves."""
    budget, lock, held, most = MemoryBudget(100), threading.Lock(), [0], [0]

    def work(needed: int) -> None:
        with budget.reserve(needed):
            with lock:
                held[0] += needed
                most[0] = max(most[0], held[0])
            threading.Event().wait(0.001)
            with lock:
                held[0] -= needed

    threads = [threading.Thread(target=work, args=(10 + 7 * k % 60,)) for k in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert 60 < most[0] <= 100
    assert budget.used == 0


def test_what_needs_more_than_everything_is_alone() -> None:
    budget, entered = MemoryBudget(100), threading.Event()

    def work() -> None:
        with budget.reserve(1000):
            entered.set()

    with budget.reserve(1):
        thread = threading.Thread(target=work)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(30)
    thread.join(30)
    assert budget.used == 0


def test_a_failure_gives_back_what_was_held() -> None:
    budget = MemoryBudget(100)
    with pytest.raises(KeyError), budget.reserve(60):
        raise KeyError
    assert budget.used == 0


@pytest.mark.parametrize(("free", "budget"), [(0, LEAST_BUDGET), (2 * 10**9, 5 * 10**8), (10**12, MOST_BUDGET)])
def test_features_get_a_quarter_of_what_is_free_within_bounds(free: int, budget: int) -> None:
    assert feature_budget(free) == budget
