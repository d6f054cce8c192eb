"""The command line of provnet."""

from __future__ import annotations

import typer

application = typer.Typer(name="provnet", no_args_is_help=True, add_completion=False)


@application.callback()
def provnet() -> None:
    """Run, join, test and compare decentralised proving networks."""


def main() -> None:
    """Run the command that the arguments name."""
    application()
