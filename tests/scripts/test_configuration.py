"""Node configurations as files: what is written is read back, what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.configuration import (
    ApiConfiguration,
    ConfigurationError,
    FaucetConfiguration,
    NodeConfiguration,
    ProverConfiguration,
    SequencerConfiguration,
    TrafficConfiguration,
    load_configuration,
    save_configuration,
)

WHOLE = NodeConfiguration(
    name="one",
    genesis="genesis.toml",
    listen_port=4_001,
    bootstrap=("/ip4/127.0.0.1/tcp/1", "a\\b"),
    backup=True,
    prover=ProverConfiguration(workers=2),
    sequencer=SequencerConfiguration(leaf_count=8),
    traffic=TrafficConfiguration(seed='quoted "seed"'),
    api=ApiConfiguration(names=("node.example",)),
    faucet=FaucetConfiguration(amount=7),
)


@pytest.mark.parametrize("configuration", [WHOLE, NodeConfiguration("bare", "genesis.toml")])
def test_a_configuration_is_read_back_as_written(
    tmp_path: Path, configuration: NodeConfiguration
) -> None:
    path = tmp_path / "node.toml"
    save_configuration(path, configuration)
    assert load_configuration(path) == configuration


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 1", "must be"),
        ('name = "a"', "entry genesis"),
        ('name = "a"\ngenesis = "g"\ncolour = "red"', "unknown entry colour"),
        ('name = "a"\ngenesis = "g"\n[prover]\nworkers = -1', "not negative"),
        ('name = "a"\ngenesis = "g"\nbootstrap = "x"', "a list"),
        ('name = "a"\ngenesis = "g"\nbackup = 1', "true or false"),
        ('name = "a"\ngenesis = "g"\nbackup = true\n[prover]', "prover of the same node"),
        ("name = ", "not TOML"),
        ('name = "a"\ngenesis = "g"\n[faucet]', "asked over the API"),
        *(
            (f'name = "a"\ngenesis = "g"\n[api]\n[faucet]\n{entry}', words)
            for entry, words in (
                ("amount = 0", "never gives"),
                ("account_max = 1", "never gives"),
                ("address_max = 1", "never gives"),
                ("period_s = 3", "outlasts"),
            )
        ),
    ],
)
def test_what_is_wrong_is_named_with_a_hint(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_configuration(path)
    assert "hint: " in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_configuration(tmp_path / "node.toml")
