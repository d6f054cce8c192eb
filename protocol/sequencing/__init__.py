"""Sequencing rules, one file each: who makes the next rollup block and under which terms."""
