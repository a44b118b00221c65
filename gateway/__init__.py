"""A webhook gateway in one process: receive, verify, keep, match, render, forward until taken."""

__version__ = "0.2.0"
