"""Which bindings of a topic exchange a routing key meets: https://www.rabbitmq.com/docs/exchanges#topic."""


def topic_matches(binding: str, routing_key: str) -> bool:
    """Whether a topic exchange would route: ``*`` stands for one word, ``#`` for any number of them."""
    pattern = binding.split(".") if binding else []
    reached = _past_hashes({0}, pattern)
    for word in routing_key.split(".") if routing_key else ():
        advanced = {at + 1 for at in reached if at < len(pattern) and pattern[at] in {word, "*"}}
        stayed = {at for at in reached if at < len(pattern) and pattern[at] == "#"}
        reached = _past_hashes(advanced | stayed, pattern)
    return len(pattern) in reached


def _past_hashes(reached: set[int], pattern: list[str]) -> set[int]:
    """The positions ``reached``, and those behind each ``#`` there, which may stand for nothing."""
    closed = set(reached)
    for at, word in enumerate(pattern):
        if word == "#" and at in closed:
            closed.add(at + 1)
    return closed
