"""What every agent finds in a view."""

from types import SimpleNamespace

from protocol.agents import PAUSE_NOTE, PAUSED, is_paused


def test_a_node_is_paused_while_its_note_says_so():
    for note, expected in ((None, False), (b"", False), (PAUSED, True)):
        assert is_paused(SimpleNamespace(note={PAUSE_NOTE: note}.get)) is expected
