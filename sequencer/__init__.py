"""Makes rollup blocks: pools transfers, builds blocks of them, makes traffic for experiments."""
