"""The ``proptest`` command: a rule under the whole property kit, and finds in words."""
