"""Conserved money: what the genesis gave out is there, and moves only as nodes tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from protocol.happenings import BlockFinal
from protocol.ledger import Moved
from protocol.params import Genesis
from scripts.simulation.checkers.checker import Checker, Final, Scene, Violation
from scripts.simulation.happenings import Event

Books = dict[tuple[str, bytes], int]


class ConservedMoney(Checker):
    """The movements that the log tells of, added up again from the genesis: no pocket is ever
    overdrawn, nothing less than nothing moves, and in the end each node has in its pockets what was
    added up, and all of them together what was given out.
    """

    name = "conserved money"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._books = _first_books(scene.genesis)
        self._supply = sum(self._books.values())
        self._moves: list[tuple[Moved, ...]] = [()]

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Add up the movements of each height, once."""
        if not isinstance(event, BlockFinal) or event.applied.tick != len(self._moves):
            return
        if node in self.scene.cheats:
            return
        moves = tuple(one for one in event.applied.events if isinstance(one, Moved))
        self._moves.append(moves)
        for one in moves:
            _book(self._books, one)
            left = self._books[one.source.kind.name, one.source.owner]
            if one.amount < 0 or left < 0:
                sentence = f"{one.cause.name} moved {one.amount} and left {left} where it came from"
                yield self.found(at_ms, node, sentence)

    def at_end(self, at_ms: int, finals: tuple[Final, ...]) -> Iterator[Violation]:
        """Compare the pockets of each node with the books at its height."""
        at_height = self._books_at({one.machine.tick for one in finals if one.machine is not None})
        for final in finals:
            if final.machine is None or final.node in self.scene.cheats:
                continue
            held = {
                (pocket.kind.name, pocket.owner): int(amount)
                for pocket, amount in final.machine.ledger.pockets().items()
            }
            if sum(held.values()) != self._supply:
                sentence = f"it holds {sum(held.values())}, and {self._supply} was given out"
                yield self.found(at_ms, final.node, sentence)
            books = at_height.get(final.machine.tick, {})
            for place in sorted(set(held) | set(books)):
                if held.get(place, 0) != books.get(place, 0):
                    kind, owner = place
                    sentence = (
                        f"{kind} of {owner.hex()[:8]} holds {held.get(place, 0)}, "
                        f"and {books.get(place, 0)} was moved there"
                    )
                    yield self.found(at_ms, final.node, sentence)

    def _books_at(self, heights: set[int]) -> dict[int, Books]:
        books, found = _first_books(self.scene.genesis), {}
        for height, moves in enumerate(self._moves):
            for one in moves:
                _book(books, one)
            if height in heights:
                found[height] = dict(books)
        return found


def _first_books(genesis: Genesis) -> Books:
    """What the genesis gives out, by kind of pocket and owner."""
    books: Books = defaultdict(int)
    for one in genesis.accounts:
        books["BALANCE", one.account] += one.balance
        books["LOG_STAKE", one.account] += one.log_stake
        books["PROVER_STAKE", one.account] += one.prover_stake
        books["SEQUENCER_STAKE", one.account] += one.sequencer_stake
    books["ROLLUP_VAULT", b""] += sum(one.balance for one in genesis.rollup)
    books["TREASURY", b""] += genesis.network.treasury
    return books


def _book(books: Books, moved: Moved) -> None:
    books[moved.source.kind.name, moved.source.owner] -= moved.amount
    books[moved.target.kind.name, moved.target.owner] += moved.amount
