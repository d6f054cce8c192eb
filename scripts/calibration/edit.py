"""Sets entries of the ``[prover]`` table of a ``node.toml`` and leaves every other line as it is.

The edited text is read again before it replaces the file: if it does not say what the file said,
with the new entries, nothing is written and the entries are told instead.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from scripts.configuration import ConfigurationError, load_configuration, read_toml

_TABLE = re.compile(r"^\s*\[\s*prover\s*\]\s*(#.*)?$")
_ANY_TABLE = re.compile(r"^\s*\[")


def set_prover(path: Path, entries: Mapping[str, int]) -> None:
    """Write the entries into the file, whole or not at all.

    :raises ConfigurationError: when the file cannot be used, before or after.
    """
    load_configuration(path)
    before = read_toml(path)
    text = edited(path.read_text(), entries)
    expected = before | {"prover": before.get("prover", {}) | entries}
    listed = "\n".join(f"{name} = {value}" for name, value in entries.items())
    try:
        is_same = tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        is_same = False
    if not is_same:
        raise ConfigurationError(
            f"{path} is written in a way that cannot be edited here",
            f"put these lines into its table [prover]:\n{listed}",
        )
    draft = path.with_suffix(".toml.draft")
    draft.write_text(text)
    draft.replace(path)


def edited(text: str, entries: Mapping[str, int]) -> str:
    """The text with the entries in its table, which is added at the end if there is none."""
    lines, left = text.splitlines(), dict(entries)
    first = next((at for at, line in enumerate(lines) if _TABLE.match(line)), None)
    if first is None:
        rows = [f"{name} = {value}" for name, value in entries.items()]
        return "\n".join([*lines, "", "[prover]", *rows]) + "\n"
    after = range(first + 1, len(lines))
    end = next((at for at in after if _ANY_TABLE.match(lines[at])), len(lines))
    for at in range(first + 1, end):
        name, equals, rest = lines[at].partition("=")
        if equals and name.strip() in left:
            comment = rest[rest.index("#") :] if "#" in rest else ""
            row = f"{name.strip()} = {left.pop(name.strip())}"
            lines[at] = f"{row}  {comment}".rstrip()
    while end > first + 1 and not lines[end - 1].strip():
        end -= 1
    lines[end:end] = [f"{name} = {value}" for name, value in left.items()]
    return "\n".join(lines) + "\n"
