import asyncio
import heapq
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.xumm.budget import (
    MAX_LIMIT,
    MAX_PAUSE,
    PAUSE,
    PERIOD,
    Bucket,
    Budget,
    BudgetQueueFull,
    CreationBudget,
    Priority,
)

LIMITS = st.integers(min_value=1, max_value=MAX_LIMIT)
STEPS = st.floats(min_value=0, max_value=90)


class Handle:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Time that passes only by `run`, and then at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._tie = count()
        self._due: list[tuple[float, int, Handle]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Handle:
        handle = Handle(callback)
        heapq.heappush(self._due, (self.now + delay, next(self._tie), handle))
        return handle

    @property
    def pending(self) -> int:
        return sum(handle.callback is not None for _, _, handle in self._due)

    async def run(self, seconds: float) -> None:
        end = self.now + seconds
        await settle()
        while self._due and self._due[0][0] <= end:
            self.now, _, handle = heapq.heappop(self._due)
            if handle.callback is not None:
                handle.callback()
            await settle()
        self.now = end


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class Callers:
    """Tasks that acquire, and the order and instants of those who were let through."""

    def __init__(self, budget: Budget, clock: ManualClock) -> None:
        self.budget = budget
        self.clock = clock
        self.through: list[tuple[float, str]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def come(self, name: str, priority: Priority = Priority.URGENT) -> None:
        self.tasks[name] = asyncio.create_task(self._acquire(name, priority))

    async def _acquire(self, name: str, priority: Priority) -> None:
        await self.budget.acquire(priority)
        self.through.append((self.clock.now, name))

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.through]

    async def leave(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        for task in self.tasks.values():
            with suppress(asyncio.CancelledError, BudgetQueueFull):
                await task


def with_callers(limit: int, scenario: Callable[[Callers], Coroutine[object, object, None]], **kwargs: int) -> Callers:
    async def main() -> Callers:
        clock = ManualClock()
        callers = Callers(Budget(limit=limit, clock=clock, **kwargs), clock)
        await scenario(callers)
        await callers.leave()
        return callers

    return asyncio.run(main())


def most_in_a_period(instants: list[float]) -> int:
    ends = (bisect_left(instants, start + PERIOD - 1e-3) for start in instants)
    return max((end - begin for begin, end in enumerate(ends)), default=0)


@settings(deadline=None, max_examples=60)
@given(limit=LIMITS, waits=st.lists(STEPS, max_size=80))
def test_bucket_is_within_the_limit_in_every_period(limit: int, waits: list[float]) -> None:
    """However calls arrive, no period of a minute has more of them than the limit."""
    now, bucket, taken = 0.0, Bucket.full(limit, 0.0), []
    for wait in waits:
        now += wait
        while bucket.wait(now) == 0 and len(taken) < 3000:
            bucket = bucket.take(now)
            taken.append(now)

    assert most_in_a_period(taken) <= limit


@settings(deadline=None, max_examples=60)
@given(limit=LIMITS)
def test_bucket_uses_most_of_the_limit_and_no_more(limit: int) -> None:
    """Somebody who always has a next call gets at least five sixths of the limit through, and never more than all."""
    now, bucket, taken = 0.0, Bucket.full(limit, 0.0), []
    while now < 4 * PERIOD:
        bucket = bucket.take(now)
        taken.append(now)
        now += bucket.wait(now)

    assert len(taken) >= 4 * limit * 5 // 6
    assert most_in_a_period(taken) <= limit


CORRECTIONS = st.one_of(
    st.tuples(st.just("correct"), st.none() | st.integers(-5, 10**6), st.none() | st.integers(-5, 10**6)),
    st.tuples(st.just("refuse"), st.none() | st.floats(-1e6, 1e6), st.none()),
    st.tuples(st.just("return"), st.none(), st.none()),
    st.tuples(st.just("take"), st.none(), st.none()),
)


@settings(deadline=None, max_examples=60)
@given(limit=LIMITS, story=st.lists(st.tuples(STEPS, CORRECTIONS), max_size=60))
def test_bucket_keeps_its_promise_whatever_the_api_says(limit: int, story: list[tuple[float, tuple]]) -> None:  # type: ignore[type-arg]
    """No sequence of corrections, pauses and returned calls lets more through than the highest limit, or gets stuck."""
    now, bucket, taken, highest = 0.0, Bucket.full(limit, 0.0), [], limit
    for wait, (deed, one, two) in story:
        now += wait
        match deed:
            case "correct":
                bucket = bucket.correct(now, limit=one, remaining=two)
                highest = max(highest, bucket.limit)
            case "refuse":
                bucket = bucket.refuse(now, None if one is None else timedelta(seconds=one))
            case "return" if taken and taken[-1] == now:
                taken.pop()
                bucket = bucket.give_back(now)
            case "take" if bucket.wait(now) == 0:
                bucket = bucket.take(now)
                taken.append(now)

    assert most_in_a_period(taken) <= highest
    assert 0 <= bucket.wait(now) <= MAX_PAUSE.total_seconds() + PERIOD
    assert bucket.wait(now + bucket.wait(now) + 1e-3) == 0


@settings(deadline=None, max_examples=60)
@given(limit=LIMITS, remaining=st.integers(0, 5))
def test_bucket_holds_no_more_than_the_api_says_remains(limit: int, remaining: int) -> None:
    """What remains by the API's count is the most that goes at once."""
    bucket = Bucket.full(limit, 0.0).correct(0.0, limit=None, remaining=remaining)
    taken = 0
    while bucket.wait(0.0) == 0:
        bucket = bucket.take(0.0)
        taken += 1

    assert taken == min(remaining, max(1, limit // 6))


def test_bucket_never_gains_by_a_correction() -> None:
    """A larger limit makes calls come in faster, but hands out none at once."""
    empty = Bucket(limit=60, tokens=0, at=0.0)
    told = empty.correct(0.0, limit=200, remaining=200)

    assert told.tokens == 0
    assert told.wait(0.0) < empty.wait(0.0)


@pytest.mark.parametrize(
    ("asked", "rest"),
    [
        (None, PAUSE),
        (timedelta(seconds=7), timedelta(seconds=7)),
        (timedelta(0), timedelta(seconds=1)),
        (timedelta(days=9), MAX_PAUSE),
    ],
)
def test_bucket_rests_after_a_refusal(asked: timedelta | None, rest: timedelta) -> None:
    """After a 429 nothing goes for as long as it asked, within limits, and then one call."""
    bucket = Bucket.full(60, 0.0).refuse(0.0, asked)

    assert bucket.wait(0.0) == rest.total_seconds()
    assert bucket.take(rest.total_seconds()).wait(rest.total_seconds()) > 0


def test_bucket_hands_out_no_call_for_a_refusal() -> None:
    """A short rest after a 429 is no way round the limit."""
    bucket = Bucket.full(1, 0.0).take(0.0).refuse(0.0, timedelta(seconds=1))

    assert bucket.wait(0.0) == pytest.approx(PERIOD)


def test_bucket_keeps_the_longer_rest() -> None:
    """Refusals of calls that were on their way together do not shorten the rest that the first one asked for."""
    bucket = Bucket.full(60, 0.0).refuse(0.0, timedelta(seconds=100)).refuse(1.0, timedelta(seconds=2))

    assert bucket.wait(1.0) == 99


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from(Priority), st.none() | st.floats(0, 20)), min_size=1, max_size=50
    )
)
def test_line_lets_everyone_through_in_order(arrivals: list[tuple[float, Priority, float | None]]) -> None:
    """Whoever stays in queue gets through, in order of arrival within a priority, and within the limit."""
    stayed: dict[Priority, list[str]] = {priority: [] for priority in Priority}

    async def scenario(callers: Callers) -> None:
        for number, (pause, priority, patience) in enumerate(arrivals):
            name = f"{number}"
            callers.come(name, priority)
            if patience is not None:
                callers.clock.call_later(patience, callers.tasks[name].cancel)
            await callers.clock.run(pause)
        await callers.clock.run(20 * PERIOD)
        for number, (_, priority, _) in enumerate(arrivals):
            if not callers.tasks[f"{number}"].cancelled():
                stayed[priority].append(f"{number}")

    callers = with_callers(6, scenario)

    by_priority = {
        priority: [name for name in callers.names if arrivals[int(name)][1] is priority] for priority in Priority
    }
    assert by_priority == stayed
    assert most_in_a_period([at for at, _ in callers.through]) <= 6
    assert callers.budget.waiting == 0
    assert callers.clock.pending == 0


def test_line_serves_urgent_calls_first_and_routine_ones_last() -> None:
    """Whoever comes with an urgent call passes all who wait, in order of arrival among themselves."""

    async def scenario(callers: Callers) -> None:
        callers.come("first", Priority.ROUTINE)
        await settle()
        for name, priority in [
            ("routine-1", Priority.ROUTINE),
            ("request", Priority.REQUEST),
            ("routine-2", Priority.ROUTINE),
            ("urgent-1", Priority.URGENT),
            ("urgent-2", Priority.URGENT),
        ]:
            callers.come(name, priority)
            await settle()
        await callers.clock.run(10 * PERIOD)

    callers = with_callers(1, scenario)

    assert callers.names == ["first", "urgent-1", "urgent-2", "request", "routine-1", "routine-2"]


def test_line_gives_the_place_of_the_cancelled_to_the_next() -> None:
    """Who gives up waiting delays nobody."""

    async def scenario(callers: Callers) -> None:
        for name in ("first", "gives up", "second"):
            callers.come(name)
        await settle()
        callers.tasks["gives up"].cancel()
        await callers.clock.run(PERIOD + 1)

    callers = with_callers(1, scenario)

    assert callers.names == ["first", "second"]


def test_line_takes_back_what_was_given_to_the_cancelled() -> None:
    """Who is cancelled in the very moment of being let through leaves the call to the next."""

    async def scenario(callers: Callers) -> None:
        for name in ("first", "too late", "second"):
            callers.come(name)
        await settle()
        callers.clock.now += PERIOD
        callers.budget.correct(limit=None, remaining=None)
        callers.tasks["too late"].cancel()
        await settle()

    callers = with_callers(1, scenario)

    assert callers.through == [(1000.0, "first"), (1060.0, "second")]


def test_line_skips_who_is_cancelled_but_does_not_know_yet() -> None:
    """A call is not wasted on a waiter whose cancellation is on its way."""

    async def scenario(callers: Callers) -> None:
        for name in ("first", "going", "second"):
            callers.come(name)
        await settle()
        callers.tasks["going"].cancel()
        callers.clock.now += PERIOD
        callers.budget.correct(limit=None, remaining=None)
        await settle()

    callers = with_callers(1, scenario)

    assert callers.through == [(1000.0, "first"), (1060.0, "second")]


def test_line_is_bounded_for_each_priority() -> None:
    """When too many wait the next is refused at once; a queue of routine calls keeps no urgent one out."""

    async def scenario(callers: Callers) -> None:
        for name in ("through", "routine-1", "routine-2", "routine-3"):
            callers.come(name, Priority.ROUTINE)
            await settle()
        callers.come("urgent", Priority.URGENT)
        await settle()

        assert callers.budget.waiting == 3
        assert isinstance(callers.tasks["routine-3"].exception(), BudgetQueueFull)

    callers = with_callers(1, scenario, max_waiting=2)

    assert callers.names == ["through"]


def test_line_waits_out_a_refusal_and_then_tries_one() -> None:
    """After a 429 those in queue wait as long as it asked, and then go one by one."""

    async def scenario(callers: Callers) -> None:
        callers.budget.refuse(timedelta(seconds=40))
        callers.come("one")
        callers.come("two")
        await callers.clock.run(60)

    callers = with_callers(60, scenario)

    assert [round(at, 1) for at, _ in callers.through] == [1040.0, 1041.2]


async def test_budget_runs_on_the_loop_by_itself() -> None:
    """Without a clock of its own a budget goes by the running loop's."""
    budget = Budget(limit=600)
    async with asyncio.timeout(5):
        for _ in range(102):
            await budget.acquire(Priority.URGENT)

    assert budget.waiting == 0


def creating(scenario: Callable[[Budget, CreationBudget, ManualClock], Coroutine[object, object, None]]) -> None:
    async def main() -> None:
        clock = ManualClock()
        whole = Budget(limit=60, clock=clock)
        await scenario(whole, CreationBudget(whole, limit=6, clock=clock), clock)

    asyncio.run(main())


def test_creations_wait_for_their_own_limit_and_hold_up_nobody() -> None:
    """A creation beyond the lower limit waits, while all other calls go on."""

    async def scenario(whole: Budget, creations: CreationBudget, clock: ManualClock) -> None:
        await creations.acquire(Priority.REQUEST)
        waiting = asyncio.create_task(creations.acquire(Priority.REQUEST))
        await clock.run(1)
        for _ in range(5):
            await whole.acquire(Priority.ROUTINE)
        assert not waiting.done()
        await clock.run(PERIOD / 6)
        assert waiting.done()

    creating(scenario)


def test_creations_count_in_the_whole() -> None:
    """A creation takes from the budget of all calls, and waits for it too."""

    async def scenario(whole: Budget, creations: CreationBudget, clock: ManualClock) -> None:
        whole.correct(limit=None, remaining=1)
        await creations.acquire(Priority.REQUEST)
        waiting = asyncio.create_task(whole.acquire(Priority.URGENT))
        await settle()
        assert not waiting.done()
        assert creations.wait >= whole.wait > 0
        await clock.run(PERIOD)
        assert waiting.done()

    creating(scenario)


def test_a_creation_that_is_cancelled_in_the_second_line_gives_back_its_first_turn() -> None:
    """Nobody else's turn is lost with it."""

    async def scenario(whole: Budget, creations: CreationBudget, clock: ManualClock) -> None:
        whole.refuse(timedelta(seconds=10))
        waiting = asyncio.create_task(creations.acquire(Priority.REQUEST))
        await clock.run(1)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        await clock.run(10)
        assert 0 == creations.wait

    creating(scenario)


def test_what_creations_are_told_lowers_theirs_only() -> None:
    """A limit told to a creation, or a refusal of one, leaves the other calls alone."""

    async def scenario(whole: Budget, creations: CreationBudget, _clock: ManualClock) -> None:
        creations.correct(limit=30, remaining=0)
        creations.refuse(timedelta(seconds=10))
        assert (0, True) == (whole.wait, creations.wait >= 10)

    creating(scenario)
