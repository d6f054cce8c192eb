"""Proving rules, one file each: who may prove which tree node when, for how much, and what a
miss means.
"""
