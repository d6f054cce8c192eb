"""Benchmarks: what the parts cost, always against a named baseline of the same run.

Subject and baseline take turns, so that whatever else the machine does meets both; a figure is the
median of the ratios of the rounds, with the least and the greatest. Nothing here is a test: an aim
that is missed is shown, and nothing fails.
"""
