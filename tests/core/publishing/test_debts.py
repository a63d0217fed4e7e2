from datetime import UTC, datetime

from processor.core.publishing.debts import Debts, QueueBindings

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
