"""Find consumers by name."""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Final

from pydantic import create_model

import consumers
from consumers.runtime.consumer import Consumer, name_of
from consumers.runtime.errors import UnknownConsumer
from consumers.runtime.settings import ConsumerSettings

ENTRY_POINTS: Final = "xumm.consumers"
"""The group of entry points in which other packages name their consumers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedConsumer:
    """A consumer and the name it runs under."""

    name: str
    consumer: type[Consumer]

    @property
    def summary(self) -> str:
        """The first line of its own docstring, or else of its module's."""
        own: str | None = self.consumer.__doc__  # unlike inspect.getdoc, none is inherited
        text = own or inspect.getdoc(importlib.import_module(self.consumer.__module__)) or ""
        return next(iter(text.strip().splitlines()), "")


def find(name: str) -> NamedConsumer:
    """The consumer of that name: a module or package here (``app-state``), or an entry point, or a dotted path.

    A path is ``package.module`` or ``package.module:Class``. Raises `UnknownConsumer`.
    """
    if "." in name or ":" in name:
        return _load_path(name)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return NamedConsumer(name=name, consumer=_check_consumer(point.load(), name))
    path = f"{consumers.__name__}.{name.replace('-', '_')}"
    if path.rpartition(".")[2] not in _module_names():
        names = ", ".join(each.name for each in find_all())
        raise UnknownConsumer(f"no consumer is named {name}: try one of {names}")
    return NamedConsumer(name=name, consumer=_only_consumer(importlib.import_module(path), name))


def find_all() -> list[NamedConsumer]:
    """Every consumer of this package and of the entry points, by name."""
    inside = [
        NamedConsumer(name=name_of(name), consumer=consumer)
        for name in _module_names()
        for consumer in _consumers_in(importlib.import_module(f"{consumers.__name__}.{name}"))
    ]
    outside = [
        NamedConsumer(name=point.name, consumer=_check_consumer(point.load(), point.name))
        for point in entry_points(group=ENTRY_POINTS)
    ]
    return sorted((*inside, *outside), key=lambda found: found.name)


def all_settings() -> type[ConsumerSettings]:
    """A model with the settings of every consumer. Of two settings with one name, the first consumer's counts."""
    models = list(dict.fromkeys(found.consumer.settings for found in find_all()))
    leaves = [model for model in models if not any(model in other.__mro__[1:] for other in models)]
    return create_model("AllSettings", __base__=tuple(leaves))


def _load_path(path: str) -> NamedConsumer:
    module_path, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_path)
    except ModuleNotFoundError as error:
        raise UnknownConsumer(f"there is no module {module_path}") from error
    if not class_name:
        found = _only_consumer(module, path)
    elif hasattr(module, class_name):
        found = _check_consumer(getattr(module, class_name), path)
    else:
        raise UnknownConsumer(f"{module_path} has no {class_name}")
    return NamedConsumer(name=name_of(module_path), consumer=found)


def _module_names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(consumers.__path__) if module.name != "__main__"]


def _consumers_in(module: ModuleType) -> list[type[Consumer]]:
    """The consumers that ``module`` defines or, if it is a package, that its modules define."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Consumer)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
        and value is not Consumer
    ]


def _only_consumer(module: ModuleType, name: str) -> type[Consumer]:
    found = _consumers_in(module)
    if len(found) != 1:
        raise UnknownConsumer(f"{name}: {module.__name__} has {len(found)} consumers, and one is needed")
    return found[0]


def _check_consumer(value: object, name: str) -> type[Consumer]:
    if inspect.isclass(value) and issubclass(value, Consumer):
        return value
    raise UnknownConsumer(f"{name} is no Consumer")
