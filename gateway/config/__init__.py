"""From routes.yaml to an immutable Config: read with positions, checked as a whole, compiled."""

from gateway.config.compile import load
from gateway.config.text.dotenv import read_env_file
from gateway.config.text.report import format_problem

__all__ = ["format_problem", "load", "read_env_file"]
