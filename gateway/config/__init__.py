"""The one file that a user edits: read with positions, checked as a whole, compiled to an immutable Config."""

from gateway.config.compile import load
from gateway.config.config import Config, Destination, Entry, Received, Source
from gateway.config.dotenv import read_env_file
from gateway.config.report import format_problem

__all__ = ["Config", "Destination", "Entry", "Received", "Source", "format_problem", "load", "read_env_file"]
