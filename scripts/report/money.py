"""What each node gained and lost, by kind of pocket and cause."""

from __future__ import annotations

from scripts.report.records import Records
from scripts.report.values import Flow


def flows_of(records: Records) -> tuple[Flow, ...]:
    """Sums of all moves, for each account and for the pockets that are nobody's.

    Pockets of accounts first, in the order of the genesis.
    """
    names = {one.account.hex(): one.name for one in records.genesis.accounts}
    sums: dict[tuple[str, str, str], list[int]] = {}
    for line in records.story:
        if line["kind"] != "Moved":
            continue
        for side, pocket in enumerate((line["target"], line["source"])):
            owner = names.get(pocket["owner"], "")
            row = sums.setdefault((owner, pocket["kind"], line["cause"]), [0, 0])
            row[side] += int(line["amount"])
    order = {name: number for number, name in enumerate([*names.values(), ""])}
    rows = sorted(sums.items(), key=lambda row: (order[row[0][0]], row[0]))
    return tuple(
        Flow(node, kind, cause, gained, lost) for (node, kind, cause), (gained, lost) in rows
    )
