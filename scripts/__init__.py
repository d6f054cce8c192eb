"""Where the packages meet: the command line, the launcher and the set-up.

Nothing here is imported by the other packages.
"""
