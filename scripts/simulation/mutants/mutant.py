"""A planted bug: another text in the place of one in a function of ours, while a block lasts.

**Rules.** A mutant names a function by its module and its path there, a text that stands in its
source exactly once, and what stands there instead. The code object of the function is exchanged, so
that whoever holds the function has the bug, and put back afterwards. It is for one process that
does nothing else meanwhile.

**Properties.** A mutant refuses to be planted when its function or its text is gone, so that none
turns into nothing when the code changes.
"""

from __future__ import annotations
import __future__

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from scripts.simulation.network import Size
from scripts.simulation.run import Order

SMALL = Order(seed=0, size=Size(nodes=6, validators=3, leaves=4), blocks=2)
"""A network that most bugs show in."""


class LostMutant(Exception):
    """The function, or the text in it, is not there any more."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug, and a network in which it can show.

    :ivar place: ``module:name`` or ``module:Class.name`` of a function.
    :ivar old: stands once in its source.
    :ivar new: stands there instead.
    :ivar order: the networks that are searched; its seed is the first one.
    """

    name: str
    place: str
    old: str
    new: str
    order: Order = field(default=SMALL)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there until the block is left.

        :raises LostMutant: when it has nowhere to be.
        """
        function = self._function()
        before = function.__code__
        function.__code__ = self._mutated(function)
        try:
            yield
        finally:
            function.__code__ = before

    def _function(self) -> FunctionType:
        module, _, path = self.place.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name, None)
            if found is None:
                raise LostMutant(f"{self.name}: there is no {self.place}")
        function = _plain(found)
        if function is None:
            raise LostMutant(f"{self.name}: {self.place} is no function")
        return function

    def _mutated(self, function: FunctionType) -> Any:
        source = inspect.getsource(function)
        if source.count(self.old) != 1:
            count = source.count(self.old)
            raise LostMutant(f"{self.name}: its text stands {count} times in {self.place}")
        changed = textwrap.dedent(source.replace(self.old, self.new))
        flags = __future__.annotations.compiler_flag
        compiled = compile(changed, f"<planted {self.name}>", "exec", flags, dont_inherit=True)
        home = dict(function.__globals__)
        exec(compiled, home)  # noqa: S102 -- a function of ours with one text exchanged
        mutated = _plain(home[function.__name__])
        assert mutated is not None, "what was a function is one"
        return mutated.__code__


def _plain(found: Any) -> FunctionType | None:
    """The function behind a property or a class method."""
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    return found if isinstance(found, FunctionType) else None
