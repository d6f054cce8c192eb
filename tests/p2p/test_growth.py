"""What a node keeps does not grow with the number of blocks that were proven."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import trio

from p2p.store import Store
from protocol import tree
from protocol.events import JobOpened, JobSettled, ProofRecorded
from protocol.messages import ProofRecord
from protocol.params import network_id
from scripts.launcher.plan import Wish
from tests.p2p.test_node import everybody_settled
from tests.p2p.town import Resident, Town, live

BLOCKS = 10
EPOCH_TICKS = 24
LONG = Wish(
    validators=4,
    provers=4,
    leaves=4,
    blocks=BLOCKS,
    slot_ms=1_000,
    backend="modelled",
    sets=(f"network.epoch_ticks={EPOCH_TICKS}",),
)


def unbounded(resident: Resident) -> dict[str, int]:
    """Lengths of the tables that nothing but good housekeeping bounds."""
    sizes = resident.running.sizes()
    return {name: one.length for name, one in sizes.items() if one.most is None}


def proofs_on_disk(town: Town, resident: Resident) -> tuple[set[bytes], set[bytes]]:
    """Proofs ordered for jobs that were settled: of roots, and of what lies below them."""
    settled = {one.job: one for one in resident.events(JobOpened)}
    roots: set[bytes] = set()
    others: set[bytes] = set()
    for final in resident.finals.values():
        for signed in final.block.operations:
            record = signed.operation.payload
            if isinstance(record, ProofRecord) and record.job in settled:
                is_root = record.index == tree.root(settled[record.job].header.leaf_count)
                (roots if is_root else others).add(record.proof)
    with Store(resident.folder / "store.sqlite", network_id(town.genesis)) as store:
        return (
            {one for one in roots if store.has_body(one)},
            {one for one in others if store.has_body(one)},
        )


def test_a_node_of_short_memory_keeps_few_blocks_and_all_roots(tmp_path: Path) -> None:
    town = Town(tmp_path, LONG)
    forgetful, mindful = town["validator-1"], town["validator-2"]
    forgetful.history_epochs = 1

    async def story(nursery: trio.Nursery) -> None:
        await town.until(partial(everybody_settled, town, BLOCKS))
        height = forgetful.height
        await town.until(lambda: forgetful.height >= height // EPOCH_TICKS * EPOCH_TICKS)

    live(town, story)
    town.assert_agreement()
    border = forgetful.height // EPOCH_TICKS * EPOCH_TICKS
    closed = {
        one.job: height
        for height, final in forgetful.finals.items()
        for one in final.applied.events
        if isinstance(one, JobSettled)
    }
    bodies = {one.job: one.header.content.body for one in forgetful.events(JobOpened)}
    kept = {}
    for resident in (forgetful, mindful):
        with Store(resident.folder / "store.sqlite", network_id(town.genesis)) as store:
            kept[resident] = {job for job in closed if store.has_body(bodies[job])}
    old = {job for job, height in closed.items() if height + EPOCH_TICKS <= border}
    assert old
    assert kept[forgetful] == set(closed) - old
    assert kept[mindful] == set(closed)
    assert len(proofs_on_disk(town, forgetful)[0]) == BLOCKS


def test_tables_stay_and_old_proofs_are_forgotten(tmp_path: Path) -> None:
    town = Town(tmp_path, LONG)
    lengths: dict[str, list[dict[str, int]]] = {name: [] for name in town.residents}

    async def story(nursery: trio.Nursery) -> None:
        for blocks in range(2, BLOCKS + 1):
            await town.until(partial(everybody_settled, town, blocks))
            for name, resident in town.residents.items():
                lengths[name].append(unbounded(resident))

    live(town, story)
    town.assert_agreement()
    half = (BLOCKS - 1) // 2
    for name, rows in lengths.items():
        early = {table: max(row[table] for row in rows[:half]) for table in rows[0]}
        late = {table: max(row[table] for row in rows[half:]) for table in rows[0]}
        grown = {
            table: (early[table], late[table])
            for table in early
            if late[table] > early[table] + 2 and table != "proofs"
        }
        assert not grown, f"{name}: {grown}"
    for resident in town.residents.values():
        roots, others = proofs_on_disk(town, resident)
        recorded = resident.events(ProofRecorded)
        assert len(roots) == len(resident.events(JobSettled)) == BLOCKS
        assert len(others) < len(recorded) - BLOCKS
