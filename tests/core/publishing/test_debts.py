from datetime import UTC, datetime, timedelta

from processor.core.publishing.debts import Debt, Debts, QueueBindings

NOW = datetime(2026, 11, 28, tzinfo=UTC)
TOPICS = {"signs": ("*.sign.#",), "all": ("#",), "other": ("other.#",)}
BINDINGS = QueueBindings(topics=TOPICS, complete=False)


def _owing(*positions: int) -> Debts:
    debts = Debts(BINDINGS)
    for position in positions:
        debts.owe(position, debts.route("shop.sign.opened"))
    return debts


def test_an_event_is_owed_to_the_queues_it_is_bound_for() -> None:
    """Topics decide, as the exchange does."""
    debts = Debts(BINDINGS)

    assert ["signs", "all"] == [debt.queue for debt in debts.route("shop.sign.opened")]
    assert ["all"] == [debt.queue for debt in debts.route("shop.resolve.signed")]


def test_the_exchange_comes_last_and_ends_it() -> None:
    """Only when every queue has confirmed is it the exchange's turn; its confirm leaves nothing owed."""
    debts = _owing(7)
    signs, everything, _, exchange = debts.all
    turns = []
    for debt in (signs, everything):
        turns.append(debts.is_due(exchange, 7))
        assert not debts.confirm(debt, 7, "shop.sign.opened")
    turns.append(debts.is_due(exchange, 7))

    assert [False, False, True] == turns
    assert debts.confirm(exchange, 7, "shop.sign.opened")
    assert not debts.confirm(exchange, 7, "shop.sign.opened")
    assert {} == debts.unconfirmed


def test_a_queue_is_blamed_until_nothing_is_owed_to_it() -> None:
    """Refusals name queue, events, and since when."""
    debts = _owing(1, 2)
    signs = debts.all[0]
    signs.mark_refusing("full", silent=False, at=NOW)
    before = [(each.queue, each.events, each.since, each.error) for each in debts.refusals]
    debts.confirm(signs, 1, "shop.sign.opened")
    debts.drop(2)

    assert [("signs", 2, NOW, "full")] == before
    assert () == debts.refusals


def test_what_the_exchange_refuses_is_put_down_to_a_known_queue() -> None:
    """Only where no known queue refuses must it be one that the exchange alone knows of."""
    debts = _owing(1)
    signs, everything, _, exchange = debts.all
    signs.mark_refusing("full", silent=False, at=NOW)
    exchange.mark_refusing("full", silent=False, at=NOW)
    before = [each.queue for each in debts.refusals]
    for debt in (signs, everything):
        debts.confirm(debt, 1, "shop.sign.opened")

    assert (["signs"], [None]) == (before, [each.queue for each in debts.refusals])


def test_what_a_silent_queue_is_bound_for_is_diverted() -> None:
    """Events for a silent queue pass by the exchange, others do not, nor those that no queue is known for."""
    debts = _owing(1)
    debts.all[0].mark_refusing("no answer", silent=True, at=NOW)
    debts.mark_silent("shop.resolve.signed")
    nobody = Debts(QueueBindings(topics={}, complete=False))
    nobody.mark_silent("shop.sign.opened")

    assert debts.bypasses_exchange("shop.sign.signed")
    assert debts.bypasses_exchange("shop.resolve.signed")
    assert not debts.bypasses_exchange("shop.resolve.failed")
    assert not nobody.bypasses_exchange("shop.sign.opened")


def test_an_answer_ends_the_silence() -> None:
    """When the exchange confirms that key, and the queue all it is owed, events take their usual way again."""
    debts = _owing(1, 2)
    signs, everything, _, exchange = debts.all
    signs.mark_refusing("no answer", silent=True, at=NOW)
    debts.mark_silent("shop.sign.opened")
    before = []
    for position in (1, 2):
        before.append(debts.bypasses_exchange("shop.sign.opened"))
        for debt in (signs, everything, exchange):
            debts.confirm(debt, position, "shop.sign.opened")

    assert [True, True] == before
    assert not debts.bypasses_exchange("shop.sign.opened")


def test_a_queue_that_refuses_is_passed_by_where_all_are_known() -> None:
    """Then the exchange is not needed to reach those that only it knows of, and the events keep their order."""
    found = []
    for complete in (False, True):
        debts = Debts(QueueBindings(topics=TOPICS, complete=complete))
        debts.owe(1, debts.route("shop.sign.opened"))
        debts.all[0].mark_refusing("full", silent=False, at=NOW)
        debts.all[0].backlog.refuse(1, 0.0, 0.0)
        found.append(debts.bypasses_exchange("shop.sign.opened"))

    assert [False, True] == found


def test_without_queues_all_is_owed_to_the_exchange() -> None:
    """Where single queues cannot be reached, nothing is lost and nothing is diverted."""
    debts = _owing(1, 2)
    debts.mark_silent("shop.sign.opened")

    assert debts.forget_queues()
    assert not debts.forget_queues()
    assert not debts.bypasses_exchange("shop.sign.opened")
    assert [1, 2] == debts.exchange.backlog.take(0.0, lambda position: debts.is_due(debts.exchange, position))


def test_other_queues_are_learned_once() -> None:
    """Knowing other queues, nothing is owed for the time being; the same ones change nothing."""
    debts = _owing(1)

    assert not debts.learn(QueueBindings(topics=dict(TOPICS), complete=False))
    assert not debts.learn(QueueBindings(topics=dict(TOPICS), complete=True))
    assert [1] == list(debts.unconfirmed)
    assert debts.learn(QueueBindings(topics={"new": ("#",)}, complete=True))
    assert ({}, ["new"]) == (debts.unconfirmed, [debt.queue for debt in debts.route("shop.sign.opened")])


KEY = "shop.sign.opened"


def test_each_debt_has_a_bit() -> None:
    """The exchange, which is owed everything, has the first."""
    debts = _owing(7)

    assert [2, 4, 8, 1] == [debt.bit for debt in debts.all]
    assert ({7: 7}, [1, 1, 0, 0]) == (debts.unconfirmed, [debt.events for debt in debts.all])


def test_nothing_is_due_of_what_is_not_owed() -> None:
    """Neither to a queue nor to the exchange, nor to a queue that is not bound for it."""
    debts = _owing(7)

    assert [False] * 4 == [debts.is_due(debt, 8) for debt in debts.all]
    assert [True, True, False, False] == [debts.is_due(debt, 7) for debt in debts.all]


def test_exchange_has_its_turn_after_the_last_queue() -> None:
    """Then the event waits in its backlog, once, and counts as owed to it."""
    debts = _owing(7)
    signs, everything, _, exchange = debts.all
    counts = []
    for debt in (signs, signs, everything, everything):
        debts.confirm(debt, 7, KEY)
        counts.append((signs.events, everything.events, exchange.events))

    assert [(0, 1, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1)] == counts
    assert [7] == exchange.backlog.take(0.0, lambda position: debts.is_due(exchange, position))
    assert debts.confirm(exchange, 7, KEY)
    assert 0 == exchange.events


def test_event_that_no_queue_is_bound_for_is_the_exchange_s() -> None:
    """At once."""
    debts = Debts(QueueBindings(topics={}, complete=False))
    debts.owe(1, debts.route(KEY))

    assert ((), True, 1) == (debts.route(KEY), debts.is_due(debts.exchange, 1), debts.exchange.events)


def test_confirm_of_what_is_not_owed_changes_nothing() -> None:
    """A late answer for an event that was dropped."""
    debts = _owing(7)
    debts.drop(7)
    changed = [debts.confirm(debt, 7, KEY) for debt in debts.all]

    assert ([False] * 4, {}, [0] * 4) == (changed, debts.unconfirmed, [debt.events for debt in debts.all])


def test_dropped_event_is_owed_to_nobody() -> None:
    """What was confirmed of it before is not taken off twice."""
    debts = _owing(1, 2)
    signs, everything, *_ = debts.all
    debts.confirm(signs, 1, KEY)
    debts.drop(1)
    before = [debt.events for debt in debts.all]
    for debt in (signs, everything):
        debts.confirm(debt, 2, KEY)
    debts.drop(2)

    assert ([1, 1, 0, 0], [0, 0, 0, 0]) == (before, [debt.events for debt in debts.all])
    assert {} == debts.unconfirmed


def test_silence_of_the_exchange_ends_with_the_last_event() -> None:
    """As long as something is owed, events of that key go past it; when nothing is, the next one tries it again."""
    debts = _owing(1, 2)
    debts.mark_silent(KEY)
    found = []
    for position in (1, 2):
        debts.drop(position)
        found.append(debts.bypasses_exchange(KEY))

    assert [True, False] == found


def test_clearing_forgets_whom_to_blame() -> None:
    """Nothing is owed, nobody is silent, and no backlog is left."""
    debts = _owing(1)
    signs = debts.all[0]
    signs.backlog.refuse(1, 0.0, 0.0)
    signs.mark_refusing("no answer", silent=True, at=NOW)
    debts.mark_silent(KEY)
    debts.clear()

    assert (False, False, {}, ()) == (
        debts.bypasses_exchange(KEY),
        bool(signs.backlog),
        debts.unconfirmed,
        debts.refusals,
    )
    assert (0, None, False) == (signs.events, signs.since, signs.silent)


def test_blame_keeps_the_first_moment_and_the_last_error() -> None:
    """Until everything was taken."""
    debts = _owing(1)
    signs = debts.all[0]
    signs.mark_refusing("full", silent=True, at=NOW)
    signs.mark_refusing("gone", silent=False, at=NOW + timedelta(seconds=1))

    assert (NOW, False, "gone") == (signs.since, signs.silent, signs.error)
    signs.mark_refusing("no answer", silent=True, at=NOW)
    signs.reduce()
    assert (0, None, False) == (signs.events, signs.since, signs.silent)


def test_fresh_debt_blames_nobody() -> None:
    """Nothing is owed."""
    debt = Debt(None, 1)

    assert (0, None, False, "", False) == (debt.events, debt.since, debt.silent, debt.error, bool(debt.backlog))


def test_bindings_of_the_same_topics_are_learned_without_a_loss() -> None:
    """Whether the exchange knows of more queues is news; what is owed stays."""
    debts = _owing(1)
    debts.all[0].backlog.refuse(1, 0.0, 0.0)
    before = debts.bypasses_exchange(KEY)
    changed = debts.learn(QueueBindings(topics=TOPICS, complete=True))

    assert (False, False, True) == (before, changed, debts.bypasses_exchange(KEY))
    assert not debts.learn(QueueBindings(topics=TOPICS, complete=True))
    assert [1] == list(debts.unconfirmed)


def test_other_queues_without_a_debt_are_no_loss() -> None:
    """They are known from now on."""
    debts = Debts(BINDINGS)

    assert not debts.learn(QueueBindings(topics={"new": ("#",)}, complete=True))
    assert ["new"] == [debt.queue for debt in debts.route(KEY)]


def test_queues_out_of_reach_are_learned_no_more() -> None:
    """Everything is owed to the exchange, in order, and counts there."""
    debts = _owing(2, 1)
    debts.mark_silent(KEY)
    debts.forget_queues()

    assert not debts.learn(QueueBindings(topics={"new": ("#",)}, complete=True))
    assert (2, {1: 1, 2: 1}, ()) == (debts.exchange.events, debts.unconfirmed, debts.route(KEY))
    assert [None] == [debt.queue for debt in debts.all]
    assert [1, 2] == debts.exchange.backlog.take(0.0, lambda position: True)
