"""The command line of provnet."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import Refused
from scripts.complaint import Complaint
from scripts.configuration import ConfigurationError
from scripts.launcher import options

if TYPE_CHECKING:
    from scripts.client import Shop

application = typer.Typer(
    name="provnet", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


network = typer.Typer(no_args_is_help=True, help="Found a network that others join.")
application.add_typer(network, name="network")


@application.callback()
def provnet() -> None:
    """Run, join, test and compare decentralised proving networks."""


@application.command("testnet")
def launch_testnet(
    validators: Annotated[int, typer.Option(help="Nodes that order the log.")] = 4,
    provers: Annotated[int, typer.Option(help="Nodes that prove; without log stake.")] = 4,
    leaves: Annotated[int, typer.Option(help="Leaves of each proof tree: 1, 2, 4, 8, ...")] = 4,
    blocks: Annotated[int, typer.Option(help="Rollup blocks to prove.")] = 3,
    slot_ms: Annotated[int, typer.Option(help="Length of a slot; 0: by number of nodes.")] = 0,
    backend: Annotated[
        str, typer.Option(help="plonky2: real proofs. modelled: attestations that take as long.")
    ] = "plonky2",
    seed: Annotated[
        str, typer.Option(help="Text that keys and transfers follow from.")
    ] = "provnet",
    sequencing: options.Sequencing = "fernet",
    proving: options.Proving = "elected",
    settings: options.Settings = None,
    leaf_ms: options.LeafMs = None,
    merge_ms: options.MergeMs = None,
    backup: options.Backup = None,
    faucet: options.Faucet = False,
    kill: options.Kill = None,
    restart: options.Restart = None,
    attrition: options.Attrition = None,
    minutes: options.Minutes = 0,
    silent: options.Silent = None,
    forge: options.Forge = None,
    early: options.Early = None,
    late: options.Late = None,
    withhold: options.Withhold = None,
    neglect: options.Neglect = None,
    equivocate: options.Equivocate = None,
    no_reveal: options.NoReveal = None,
    flood: options.Flood = None,
    delay_ms: options.DelayMs = 0,
    partition: options.Partition = "",
    out: options.RunFolder = None,
    keep_running: Annotated[bool, typer.Option(help="Go on until interrupted.")] = False,
    plain: options.Plain = False,
) -> None:
    """Start a network of real processes here, have it prove blocks, say what happened."""
    from scripts.launcher.command import run
    from scripts.launcher.mischief import Mischief
    from scripts.launcher.plan import FAUCET_BALANCE, Wish

    sizes = (validators, provers, leaves, blocks, slot_ms)
    wish = Wish(
        *sizes,
        backend,
        seed,
        sequencing=sequencing,
        proving=proving,
        sets=tuple(settings or ()),
        leaf_ms=leaf_ms,
        merge_ms=merge_ms,
        backup=tuple(backup or ()),
        minutes=minutes,
        faucet=FAUCET_BALANCE if faucet else 0,
    )
    cheats = (
        *_named(silent=silent, forge=forge, early=early, late=late, withhold=withhold),
        *_named(neglect=neglect, equivocate=equivocate, no_reveal=no_reveal, flood=flood),
    )
    bad = Mischief(cheats, delay_ms, partition)
    kills, wears = tuple(kill or ()), tuple(attrition or ())
    code = run(
        wish, kills, restart, out, keep_running=keep_running, plain=plain, mischief=bad, wears=wears
    )
    raise typer.Exit(code)


def _named(**asked: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Names of cheats, each with a node that was named for it."""
    return tuple(
        (cheat.replace("_", "-"), node) for cheat, nodes in asked.items() for node in nodes or ()
    )


@application.command()
def simulate(
    nodes: Annotated[int, typer.Option(help="Nodes of the network.")] = 8,
    validators: Annotated[
        int, typer.Option(help="Of these, nodes that order the log; 0: half, 16 at the most.")
    ] = 0,
    leaves: Annotated[int, typer.Option(help="Leaves of each proof tree: 1, 2, 4, 8, ...")] = 4,
    blocks: Annotated[int, typer.Option(help="Rollup blocks that all nodes have to settle.")] = 3,
    slot_ms: Annotated[
        int, typer.Option(min=0, help="Length of a slot; 0: by number of nodes.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="What everything follows from.")] = 0,
    seeds: Annotated[str, typer.Option(help="A..B: all these seeds instead.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a seed with a violation.")
    ] = False,
    faults: Annotated[
        str, typer.Option(help="A file of what goes wrong, or: drawn, from the seed.")
    ] = "",
    minutes: Annotated[
        float, typer.Option(help="How long things go wrong, in virtual time, where drawn.")
    ] = 1.0,
    out: Annotated[
        str, typer.Option(help="Where to write down a run with a violation, with fewest faults.")
    ] = "",
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Search for every planted bug instead.")
    ] = False,
    adversary: Annotated[
        list[str] | None,
        typer.Option(help="NAME, NAME:COUNT or NAME:SHARE%; again for more of them."),
    ] = None,
    adversaries: Annotated[
        bool, typer.Option("--adversaries", help="Adversaries are drawn from the seed, too.")
    ] = False,
    sequencing: options.Sequencing = "fernet",
    proving: options.Proving = "elected",
    settings: options.Settings = None,
) -> None:
    """Run a whole network in this process, in virtual time, as a function of a seed."""
    from rich.console import Console

    from scripts.launcher.plan import usual_slot_ms
    from scripts.simulation import command
    from scripts.simulation.adversaries.casting import Hostility
    from scripts.simulation.mutants import command as hunting
    from scripts.simulation.network import Size
    from scripts.simulation.run import Order

    if mutants:
        raise typer.Exit(hunting.run(jobs, Console(highlight=False, soft_wrap=True)))
    size = Size(
        nodes=nodes,
        validators=validators or command.half_of(nodes),
        leaves=leaves,
        slot_ms=slot_ms or usual_slot_ms(nodes),
        sets=tuple(settings or ()),
        sequencing=sequencing,
        proving=proving,
    )
    command.check_size(size)
    hostility = Hostility(tuple(adversary or ()), is_drawn=adversaries)
    order = Order(seed, size, blocks, safety_ms=round(60_000 * minutes), hostility=hostility)
    wishes = command.Wishes(order, faults, seeds, jobs, keep_going, out)
    raise typer.Exit(command.run(wishes, Console(highlight=False, soft_wrap=True)))


@application.command()
def completion(
    leaves: Annotated[int, typer.Option(help="Leaves of each tree: 1, 2, 4, 8, ...")] = 16,
    failing: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability that a prover fails.")
    ] = 0.2,
    jobs: Annotated[int, typer.Option(min=1, help="Trees proven under the rule alone.")] = 200,
    networks: Annotated[
        int, typer.Option(min=0, help="Whole simulated networks, one tree each, beside them.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="What everything follows from.")] = 0,
) -> None:
    """Measure how many trees takeover completes while provers fail, beside closed forms."""
    from rich.console import Console

    from scripts.simulation.completion import Measurement, run

    asked = Measurement(leaves, failing, jobs, networks, seed)
    raise typer.Exit(run(asked, Console(highlight=False, soft_wrap=True)))


@application.command()
def rules(
    names: Annotated[
        list[str] | None, typer.Argument(help="Rules to show; default: all there are.")
    ] = None,
) -> None:
    """List the rules with their parameters, defaults and what they say of themselves."""
    from rich.console import Console

    from scripts.launcher.plan import SLOT_MS_MIN, network_defaults
    from scripts.rules import show_rules

    defaults = network_defaults("plonky2", SLOT_MS_MIN)
    show_rules(Console(highlight=False), names or (), defaults)


@application.command()
def proptest(
    rule: Annotated[str, typer.Argument(help="A rule's name, or path.py:Class.")],
    examples: Annotated[int, typer.Option(min=1, help="Stories of each kind a network.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Everything follows from it.")] = 0,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks dealt for a statistic.")] = 1_000,
    plain: options.Plain = False,
) -> None:
    """Property-test a rule: stories, judges, statistics; tells the shortest story of a find."""
    from rich.console import Console

    from scripts.proptest.command import run
    from scripts.proptest.display import Display

    raise typer.Exit(run(rule, examples, seed, blocks, Display(Console(), plain=plain)))


@application.command()
def join(
    bundle: Annotated[str, typer.Argument(help="A join bundle: a file, or the URL of a node.")],
    role: Annotated[
        str, typer.Option(help="observer, prover, sequencer or validator.")
    ] = "observer",
    name: Annotated[str, typer.Option(help="Name of the node; default: its role.")] = "",
    out: Annotated[Path | None, typer.Option(help="The node's folder.")] = None,
    stake: Annotated[
        int, typer.Option(min=0, help="Stake so much for the role once there is the money.")
    ] = 0,
    fund: Annotated[
        bool, typer.Option("--fund", help="Ask the bundle's faucet for test money first.")
    ] = False,
    blocks: Annotated[int, typer.Option(help="Stop once so many blocks are settled.")] = 0,
    digest: Annotated[str, typer.Option(help="How the bundle's digest must begin.")] = "",
    from_genesis: Annotated[
        bool, typer.Option("--from-genesis", help="Apply the whole log, take no snapshot.")
    ] = False,
    passphrase: Annotated[
        bool, typer.Option(help="Lock new keys with a passphrase (or PROVNET_PASSPHRASE).")
    ] = False,
    rules: Annotated[
        Path | None, typer.Option(help="Folder of rules from files; default: the bundle's.")
    ] = None,
    listen_host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    listen_port: Annotated[int | None, typer.Option(help="0: any that is free.")] = None,
    plain: options.Plain = False,
) -> None:
    """Join a network: set up a node, sync, follow the head. Goes on where it stopped."""
    from rich.console import Console

    from scripts.joining.command import Order, join_network
    from scripts.joining.display import Display
    from scripts.joining.folder import Wishes, role_of
    from scripts.keys import new_passphrase

    wishes = Wishes(
        name=name or role,
        role=role_of(role),
        rules=rules or Path(bundle).parent,
        passphrase=new_passphrase if passphrase else None,
        listen_host=listen_host,
        listen_port=listen_port,
        stake=stake,
        fund=fund,
    )
    order = Order(bundle, wishes, digest, out, blocks, from_genesis)
    with Display(Console(highlight=False), plain=plain) as display, _errors_of_a_node():
        raise typer.Exit(join_network(order, display))


@network.command("create")
def found_network(
    folder: Annotated[Path, typer.Argument(help="A new folder for everything.")],
    name: Annotated[str, typer.Option(help="Name of the network.")] = "testnet",
    validators: Annotated[int, typer.Option(help="Nodes that order the log.")] = 4,
    provers: Annotated[int, typer.Option(help="Nodes that prove; without log stake.")] = 2,
    leaves: Annotated[int, typer.Option(help="Leaves of each proof tree: 1, 2, 4, 8, ...")] = 4,
    slot_ms: Annotated[int, typer.Option(help="Length of a slot; 0: by number of nodes.")] = 0,
    backend: Annotated[str, typer.Option(help="plonky2 or modelled.")] = "plonky2",
    sequencing: options.Sequencing = "fernet",
    proving: options.Proving = "elected",
    settings: options.Settings = None,
    host: Annotated[str, typer.Option(help="Where nodes are reached.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the first node; others follow.")] = 4_001,
    at: Annotated[list[str] | None, typer.Option(help="NODE=HOST:PORT, for one node.")] = None,
    stake: Annotated[
        list[str] | None, typer.Option(help="NODE.KIND=AMOUNT; KIND: log, prover, sequencer.")
    ] = None,
    balance: Annotated[int, typer.Option(help="First balance of every node.")] = 10_000_000,
    faucet: Annotated[
        int, typer.Option(min=0, help="One more node with so much to give away; 0: none.")
    ] = 0,
    faucet_url: Annotated[
        str, typer.Option(help="Where strangers find it; default: http://HOST:4080/.")
    ] = "",
    start_s: Annotated[int, typer.Option(help="Seconds from now to the first slot.")] = 60,
    passphrase: Annotated[bool, typer.Option(help="Lock all keys with a passphrase.")] = False,
) -> None:
    """Write the genesis, the keys and a folder for each node of a network to be shared."""
    from scripts.founding import Charter, create_network, told
    from scripts.keys import new_passphrase
    from scripts.launcher.plan import Wish, is_possible

    sizes = (validators, provers, leaves)
    sets = tuple(settings or ())
    wish = Wish(
        *sizes,
        slot_ms=slot_ms,
        backend=backend,
        sequencing=sequencing,
        proving=proving,
        sets=sets,
        faucet=faucet,
    )
    objection = is_possible(wish)
    if objection is not None:
        raise ConfigurationError(objection, "run ./scripts/provnet network create --help")
    places, stakes = tuple(at or ()), tuple(stake or ())
    secret = new_passphrase() if passphrase else ""
    charter = Charter(name, wish, host, port, places, stakes, balance, start_s, secret, faucet_url)
    for line in told(create_network(charter, folder), folder):
        _say(line)


@application.command("bundle")
def write_bundle(
    folder: Annotated[Path, typer.Argument(help="A run folder, or the folder of a node.")],
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Write a fresh join bundle: all that a stranger needs to join."""
    from scripts.bundle import bundle_of_folder, format_bundle

    raw = format_bundle(bundle_of_folder(folder))
    if out is None:
        sys.stdout.write(raw.decode())
    else:
        out.write_bytes(raw)


@application.command()
def verify(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    block: Annotated[int | None, typer.Option(help="Only this block, counted from 1.")] = None,
    payments: Annotated[
        bool, typer.Option(help="Also recompute assignment and payouts from the log.")
    ] = False,
) -> None:
    """Check the blocks of a run from the genesis, without trusting any node."""
    from scripts.verify import verify_run

    report = verify_run(run, block, payments)
    for line in report.lines:
        _say(line)
    for what, sentence in report.failures:
        typer.echo(f"refused: {what}: {sentence}", err=True)
    raise typer.Exit(0 if report.ok else 1)


@application.command()
def replay(
    journal: Annotated[Path, typer.Argument(help="A stopped node's journal, or its folder.")],
) -> None:
    """Run a node's journal again and compare the outcome with what the node said and signed."""
    from p2p.store import StoreError
    from prover.backend import BackendMissing
    from scripts.replay import ReplayFailed, replay_journal

    try:
        report = replay_journal(journal)
    except (StoreError, BackendMissing, ReplayFailed) as failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1) from None
    for line in report.lines:
        _say(line)
    raise typer.Exit(0 if report.difference is None else 1)


@application.command()
def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html of a run again: its trees, timelines, money and refusals on one page."""
    from scripts.report.command import make_report

    raise typer.Exit(make_report(run))


@application.command()
def explain(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    job: Annotated[str, typer.Argument(help="A block's number from 1, or how its job id begins.")],
    level: Annotated[int, typer.Argument(help="Level of the tree node; leaves are at 0.")],
    position: Annotated[int, typer.Argument(help="Its position on that level, from 0.")],
    as_json: Annotated[bool, typer.Option("--json", help="For tools.")] = False,
) -> None:
    """Show why a tree node went as it did, recomputed from the genesis and the log alone."""
    from scripts.explain.command import show_explanation

    raise typer.Exit(show_explanation(run, job, level, position, as_json=as_json))


@application.command()
def ledger(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    node: Annotated[str, typer.Argument(help="A node's name, or how its account begins.")],
    as_json: Annotated[bool, typer.Option("--json", help="For tools.")] = False,
) -> None:
    """Show each gain and loss of a node, with the operation behind it, from the log alone."""
    from scripts.ledger_of import show_ledger

    raise typer.Exit(show_ledger(run, node, as_json=as_json))


@application.command()
def bench(
    only: Annotated[
        str | None,
        typer.Option(help="protocol, prover, network, sync, nodes, joiners or testnet; or all."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write all figures to this file.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Analyse this run folder instead of running a testnet.")
    ] = None,
) -> None:
    """Measure what the parts cost, each against a named baseline. Wants an idle machine."""
    from prover.backend import BackendMissing
    from prover.pool import ProvingFailed
    from scripts.benchmarks.command import run as measure
    from scripts.benchmarks.figures import BenchFailed

    try:
        measure(only, json, run)
    except (BenchFailed, BackendMissing, ProvingFailed) as failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1) from None


Node = Annotated[
    str, typer.Option("--node", help="Folder or address of a node; default: the one that runs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For tools.")]


def _shop(node: str, as_json: bool) -> Shop:
    from rich.console import Console

    from scripts.client import Shop, find_node

    return Shop(find_node(node), Console(highlight=False), as_json)


@application.command()
def status(node: Node = "", as_json: AsJson = False) -> None:
    """Show where a running node and its network are."""
    _shop(node, as_json).status()


@application.command()
def peers(node: Node = "", as_json: AsJson = False) -> None:
    """Show whom a running node is connected to."""
    _shop(node, as_json).peers()


@application.command()
def account(
    who: Annotated[str, typer.Argument(help="Digits, a name of the genesis, or own.")] = "own",
    node: Node = "",
    as_json: AsJson = False,
) -> None:
    """Show what an account holds, earns and keeps, as a running node knows it."""
    _shop(node, as_json).account(who)


@application.command()
def earnings(
    limit: Annotated[int, typer.Option(help="Entries to show.")] = 20,
    node: Node = "",
    as_json: AsJson = False,
) -> None:
    """Show what a running node gained and lost, and the operations behind it."""
    _shop(node, as_json).earnings(limit)


@application.command()
def operation(
    digits: Annotated[str, typer.Argument(help="Its hash, or the first eight digits or more.")],
    node: Node = "",
    as_json: AsJson = False,
) -> None:
    """Show what became of an operation: pending, accepted or refused, at which tick and why."""
    _shop(node, as_json).operation(digits)


@application.command()
def transfer(
    recipient: Annotated[str, typer.Argument(help="Account inside the rollup, in digits.")],
    amount: Annotated[int, typer.Argument(help="In micro-units.")],
    fee: Annotated[int, typer.Option(help="For sequencer and provers, in micro-units.")] = 1_000,
    node: Node = "",
    as_json: AsJson = False,
) -> None:
    """Send money inside the rollup from a running node's account."""
    _shop(node, as_json).transfer(recipient, amount, fee)


Amount = Annotated[int, typer.Argument(min=1, help="In micro-units.")]
Whom = Annotated[str, typer.Argument(help="An account: digits, or a name of the genesis.")]
Kind = Annotated[str, typer.Option(help="log, prover or sequencer.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it is final; says what it means.")]


def _own_stake(order: str) -> Callable[..., None]:
    """A command that puts own stake in or takes it out."""

    def command(
        amount: Amount, kind: Kind, wait: Wait = False, node: Node = "", as_json: AsJson = False
    ) -> None:
        from scripts import staking

        made = staking.own_stake(order, staking.kind_of(kind), amount)
        staking.place(_shop(node, as_json), made, wait=wait)

    return command


def _lent_stake(order: str) -> Callable[..., None]:
    """A command that lends stake or takes it back."""

    def command(
        who: Whom,
        amount: Amount,
        kind: Kind,
        wait: Wait = False,
        node: Node = "",
        as_json: AsJson = False,
    ) -> None:
        from scripts import staking

        shop = _shop(node, as_json)
        made = staking.lent_stake(shop, order, staking.kind_of(kind), who, amount)
        staking.place(shop, made, wait=wait)

    return command


for _name, _make, _help in (
    ("stake", _own_stake, "Put free money of a running node's account at stake."),
    ("unstake", _own_stake, "Take own stake out; it is paid after the exit delay."),
    ("delegate", _lent_stake, "Lend free money to somebody as log or prover stake."),
    ("undelegate", _lent_stake, "Take back what was lent; it is paid after the exit delay."),
):
    application.command(_name, help=_help)(_make(_name))


@application.command()
def pay(
    who: Whom, amount: Amount, wait: Wait = False, node: Node = "", as_json: AsJson = False
) -> None:
    """Send free money on the log to an account, which may be new."""
    from scripts import staking

    shop = _shop(node, as_json)
    staking.place(shop, staking.pay(shop, who, amount), wait=wait)


@application.command()
def fund(
    folder: Annotated[
        Path | None, typer.Argument(help="A node's folder; default: the one of this user.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="URL of a faucet; default: what the bundle named.")
    ] = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Ask the faucet of a test network for money for a node's account; the node need not run."""
    from rich.console import Console

    from scripts import funding

    funding.fund(folder, source, Console(highlight=False), wait=wait, as_json=as_json)


@application.command()
def node(
    configuration: Annotated[Path, typer.Argument(help="The node's node.toml.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="ENTRY=VALUE, as prover.cores=2; stands above PROVNET_*."),
    ] = None,
    stop_with_input: Annotated[
        bool, typer.Option(help="Stop at the end of standard input.")
    ] = False,
) -> None:
    """Run one node until it is told to stop. PROVNET_ENTRY and --set stand above its file."""
    from scripts.node import run_node
    from scripts.overrides import overrides_of

    _log_to_stderr()
    overrides = overrides_of(os.environ, settings or ())
    with _errors_of_a_node():
        run_node(configuration, stop_with_input=stop_with_input, overrides=overrides)


@application.command()
def calibrate(
    run: Annotated[
        Path | None,
        typer.Option(help="A run folder, or a stopped node's: what it would have earned there."),
    ] = None,
    blocks: Annotated[int, typer.Option(min=1, help="So many of the last settled blocks.")] = 20,
    cores: Annotated[int | None, typer.Option(help="Threads of all proofs together.")] = None,
    memory: Annotated[
        int | None, typer.Option(help="Memory of all workers together, in MiB.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often to measure.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Also write all figures to this file.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Set the [prover] of this node.toml accordingly.")
    ] = None,
) -> None:
    """Measure what this machine can prove within its budgets, and what that would have earned."""
    from rich.console import Console

    from prover.backend import BackendMissing, Plonky2Backend
    from scripts.calibration import command
    from scripts.explain.publiclog import CannotTell

    try:
        command.run(
            cores=cores,
            memory_mib=memory,
            rounds=rounds,
            source=run,
            blocks=blocks,
            json=json,
            write=write,
            backend=Plonky2Backend(),
            console=Console(stderr=True, highlight=False),
        )
    except (BackendMissing, CannotTell, command.CalibrationFailed) as failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1) from None


@application.command()
def pause(
    folder: Annotated[Path, typer.Argument(help="Folder of a node that proves or makes blocks.")],
) -> None:
    """Have a running node take on nothing new and serve what it owes; a restart keeps that."""
    from scripts.pausing import PAUSE, tell_node

    tell_node(folder, PAUSE)
    _say(f"{folder}: told to pause; {folder}/events.jsonl tells when it is drained")


@application.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="The folder of a node that proves.")],
) -> None:
    """End the pause of a running node."""
    from scripts.pausing import RESUME, tell_node

    tell_node(folder, RESUME)
    _say(f"{folder}: told to resume")


@contextmanager
def _errors_of_a_node() -> Iterator[None]:
    """Say what keeps a node from running."""
    from p2p.store import StoreError
    from prover.backend import BackendMissing

    wanted = StoreError, BackendMissing
    try:
        yield
    except wanted as failure:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1) from None
    except BaseExceptionGroup as group:
        # where the disk is full, several tasks say so at once: the first is enough
        if group.split(wanted)[1] is not None:
            raise
        typer.echo(f"error: {_first(group)}", err=True)
        raise typer.Exit(1) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception within a group of groups."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _say(line: str) -> None:
    print(line, flush=True)


def _log_to_stderr() -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


def main() -> None:
    """Run the command that the arguments name."""
    try:
        application()
    except (Complaint, Refused) as failure:
        typer.echo(f"error: {failure}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
