"""Options of the ``testnet`` command: what the person at the terminal reads of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

_CHEATS: Final = "Cheats and faults"
_MORE: Final = "May be given more than once."


# --- the network ---

Sequencing: TypeAlias = Annotated[
    str, typer.Option(help="Sequencing rule, or path.py:Class. See: provnet rules.")
]
Proving: TypeAlias = Annotated[
    str, typer.Option(help="Proving rule, or path.py:Class. See: provnet rules.")
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="RULE.NAME=VALUE: a parameter of the sequencing or proving rule, or of the "
        f"network. {_MORE}",
    ),
]
LeafMs: TypeAlias = Annotated[
    int | None, typer.Option(min=0, help="Time of a modelled leaf; modelled backend only.")
]
MergeMs: TypeAlias = Annotated[
    int | None, typer.Option(min=0, help="Time of a modelled merge; modelled backend only.")
]
Backup: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SEQUENCER",
        help="Brings whole proven blocks of its own where a round came to nothing; see the rule's "
        f"backup_ticks. {_MORE}",
    ),
]
Minutes: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        help="Make blocks for so many minutes instead of a number of them, then finish all open "
        "proof trees.",
    ),
]
Faucet: TypeAlias = Annotated[
    bool, typer.Option("--faucet", help="One more node, that gives test money away: join --fund.")
]
RunFolder: TypeAlias = Annotated[
    Path | None, typer.Option(help="Run folder; default: a new one in runs/.")
]

Plain: TypeAlias = Annotated[
    bool, typer.Option("--plain", help="Lines instead of a screen, on a terminal too.")
]

# --- cheats and faults ---

Kill: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="WHO@EVENT: kill -9 a node's name, any, pair or all-but-one when elected, or at a "
        f"leaf, merge or root. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Restart: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Bring the killed back after so many seconds; with --attrition: 10.",
        rich_help_panel=_CHEATS,
    ),
]
Attrition: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE:SECONDS",
        help="prover or validator: every so many seconds one of them gets kill -9 and is started "
        "again, as the seed has it; never one without whom the log has no quorum, or nobody "
        f"proves. With --minutes. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Silent: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROVER", help=f"Is elected, never proves. {_MORE}", rich_help_panel=_CHEATS
    ),
]
Forge: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROVER[:KIND]",
        help="Announces proofs that prove nothing of it: bytes, identity, root or circuit; "
        f"without KIND all in turn. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Early: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VALIDATOR",
        help=f"Orders what is not admissible yet, or not at all. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Late: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROVER[:KIND]",
        help="Delivers only when its window has closed, or claims what another's record beat: "
        f"missed or recorded; without KIND in turn. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Withhold: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROVER",
        help=f"Announces its proofs, serves nothing. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Neglect: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROVER",
        help=f"Owns merges, ignores the proofs of its siblings. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Equivocate: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VALIDATOR",
        help=f"Signs two proposals and two votes in one slot. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
NoReveal: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SEQUENCER",
        help=f"Commits to blocks, never reveals one. {_MORE}",
        rich_help_panel=_CHEATS,
    ),
]
Flood: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NODE", help=f"Sends far more than it may. {_MORE}", rich_help_panel=_CHEATS
    ),
]
DelayMs: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0,
        help="Every message is under way for so many milliseconds more, give or take a third.",
        rich_help_panel=_CHEATS,
    ),
]
Partition: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NODE,NODE,...:SECONDS",
        help="Cuts these off from all others for so long, once the first job is open.",
        rich_help_panel=_CHEATS,
    ),
]
