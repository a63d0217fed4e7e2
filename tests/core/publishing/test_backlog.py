from hypothesis import given
from hypothesis import strategies as st

from processor.core.publishing.backlog import LEAST, MOST, Backlog

ALL = 100_000


def _filled(count: int) -> Backlog:
    backlog = Backlog()
    for position in range(count):
        backlog.add(position)
    return backlog


def _settle(backlog: Backlog, batch: list[int], *, taken: bool | None, now: float = 0.0) -> None:
    for position in batch:
        backlog.settle(position, now, 0.0, taken=taken)


def _take(backlog: Backlog, now: float = ALL) -> list[int]:
    return backlog.take(now, lambda position: True)


def test_while_it_refuses_two_are_tried_at_growing_intervals() -> None:
    """From a second up to a minute, whatever is owed."""
    backlog = _filled(10)
    backlog.refuse(10, 0.0, 0.0)
    waits, now = [], 0.0
    for _ in range(8):
        due = backlog.due
        assert due is not None
        waits.append(due - now)
        now = due
        batch = _take(backlog, now)
        assert batch == [0, 1]
        _settle(backlog, batch, taken=False, now=now)

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] == waits


def test_batches_grow_while_events_are_taken() -> None:
    """Each batch is twice as large as the one before, up to a limit, and at once."""
    backlog = _filled(1000)
    backlog.refuse(1000, 0.0, 0.0)
    sizes = []
    while batch := _take(backlog):
        sizes.append(len(batch))
        _settle(backlog, batch, taken=True)

    assert [LEAST, 4, 8, 16, 32, 64, MOST] == sizes[:7]
    assert sum(sizes) == 1001


def test_where_a_part_is_refused_the_next_batch_is_as_large_as_the_other() -> None:
    """A queue that is emptied slowly gets as much at once as it took the last time, a second later."""
    backlog = _filled(300)
    batch = _take(backlog)
    _settle(backlog, batch[:10], taken=True)
    _settle(backlog, batch[10:], taken=False)

    assert (1.0, list(range(10, 20))) == (backlog.due, _take(backlog))


def test_it_waits_for_all_answers() -> None:
    """Nothing more is tried while an answer is due."""
    backlog = _filled(300)
    first = _take(backlog)
    _settle(backlog, first[1:], taken=True)
    early = _take(backlog)
    _settle(backlog, first[:1], taken=True)

    assert ([], MOST) == (early, len(_take(backlog)))


def test_what_is_refused_keeps_its_place() -> None:
    """Events that were refused come before those behind them, and unknown ones are no refusal."""
    backlog = _filled(4)
    batch = _take(backlog)
    _settle(backlog, batch[:2], taken=True)
    _settle(backlog, batch[2:], taken=None)

    assert ([2, 3], 0.0) == (_take(backlog, 0.0), 0.0)


def test_an_event_refused_for_what_it_is_goes_behind_all_others() -> None:
    """One that is refused again and again while later ones are taken holds nobody up."""
    backlog, taken = _filled(20), []
    for _ in range(30):
        for position in _take(backlog):
            taken += [position] if position else []
            backlog.settle(position, 0.0, 0.0, taken=position != 0)

    assert list(range(1, 20)) == sorted(set(taken))


def test_a_late_confirm_makes_it_due() -> None:
    """A queue that took an event after all is tried at once."""
    backlog = Backlog()
    backlog.refuse(1, 0.0, 0.0)
    before = backlog.due
    backlog.wake(0.1)

    assert (1.0, 0.1) == (before, backlog.due)


@given(st.lists(st.lists(st.sampled_from([True, False, None]), min_size=MOST, max_size=MOST), max_size=15))
def test_nothing_is_lost(rounds: list[list[bool | None]]) -> None:
    """Whatever is answered, each event is tried until it is taken, and never after."""
    backlog, left = _filled(150), set(range(150))
    for answers in rounds:
        batch = _take(backlog)
        assert set(batch) <= left
        for position, taken in zip(batch, answers, strict=False):
            backlog.settle(position, 0.0, 0.0, taken=taken)
            left -= {position} if taken else set()
    found: set[int] = set()
    while batch := _take(backlog):
        found.update(batch)
        _settle(backlog, batch, taken=True)

    assert left == found


def test_bounds() -> None:
    """Two at least, a hundred at most."""
    assert (2, 100) == (LEAST, MOST)


def test_when_there_is_something_to_take() -> None:
    """At once if nothing was refused; never while nothing waits, or an answer is due."""
    empty, filled = Backlog(), _filled(1)
    before = filled.due
    _take(filled, 0.0)
    filled.add(1)

    assert (None, 0.0, None) == (empty.due, before, filled.due)
    assert (False, True) == (bool(empty), bool(filled))


def test_later_events_wait_while_one_is_tried() -> None:
    """Until its answer came."""
    backlog = _filled(1)
    batch = _take(backlog, 0.0)
    before = bool(backlog)
    _settle(backlog, batch, taken=True)

    assert (True, False) == (before, bool(backlog))


def test_refusals_that_come_together_count_once() -> None:
    """The first of them says when to try again; while events are tried, their answers do."""
    backlog = Backlog()
    backlog.refuse(1, 0.0, 0.0)
    backlog.refuse(2, 0.5, 0.0)
    trying = _filled(1)
    _take(trying, 0.0)
    trying.refuse(1, 0.0, 0.0)
    _settle(trying, [0], taken=True)

    assert (1.0, [1, 2]) == (backlog.due, _take(backlog, 1.0))
    assert (0.0, [1]) == (trying.due, _take(trying, 0.0))


def test_what_is_not_being_tried_is_not_settled() -> None:
    """Answers to other events, and second answers, change nothing."""
    backlog = _filled(2)
    _take(backlog, 0.0)
    for position in (99, 0, 0, 99):
        backlog.settle(position, 0.0, 0.0, taken=position == 0)
    early = _take(backlog)
    backlog.settle(1, 0.0, 0.0, taken=True)

    assert ([], False) == (early, bool(backlog))


def test_what_is_not_wanted_any_more_is_dropped() -> None:
    """It is neither handed over nor kept."""
    backlog = _filled(4)
    batch = backlog.take(0.0, lambda position: position not in {0, 2})
    _settle(backlog, batch, taken=True)

    assert ([1, 3], False) == (batch, bool(backlog))


def test_failures_begin_anew_once_an_event_is_taken() -> None:
    """All of a batch, a part of one, or late: the next refusal waits for a second."""
    waits = []
    for answers in ([True, True], [True, False], None):
        backlog = _filled(6)
        backlog.refuse(6, 0.0, 0.0)
        for _ in range(3):
            _settle(backlog, _take(backlog), taken=False)
        if answers is None:
            backlog.wake(0.0)
        else:
            for position, taken in zip(_take(backlog), answers, strict=True):
                backlog.settle(position, 0.0, 0.0, taken=taken)
        if answers != [True, False]:
            _settle(backlog, _take(backlog), taken=False)
        waits.append(backlog.due)

    assert [1.0, 1.0, 1.0] == waits


def test_unknown_answers_are_neither_success_nor_failure() -> None:
    """The next batch is as large, at once."""
    backlog = _filled(10)
    backlog.refuse(10, 0.0, 0.0)
    first = _take(backlog, 1.0)
    backlog.settle(0, 1.0, 0.0, taken=None)
    backlog.settle(1, 1.0, 0.0, taken=True)

    assert ([0, 1], [0, 2]) == (first, _take(backlog, 1.0))


def test_an_event_is_passed_over_three_times() -> None:
    """While later ones are taken: then it goes behind those that wait."""
    backlog, batches = _filled(3), []
    for more in (3, 5, 7):
        batches.append(_take(backlog))
        backlog.add(more)
        backlog.add(more + 1)
        for position in batches[-1]:
            backlog.settle(position, 0.0, 0.0, taken=position != 0)

    last = _take(backlog)
    _settle(backlog, last, taken=True)

    assert [[0, 1, 2], [0, 3], [0, 4], [5, 6], [7, 8, 0]] == [*batches, last, _take(backlog)]


def test_what_is_behind_the_last_that_was_taken_is_not_passed_over() -> None:
    """It is refused since the queue is full, however often."""
    backlog = _filled(10)
    order = []
    for _ in range(4):
        batch = _take(backlog)
        order.append(batch[0])
        for position in batch:
            backlog.settle(position, 0.0, 0.0, taken=position == batch[0])

    assert [0, 1, 2, 3] == order
