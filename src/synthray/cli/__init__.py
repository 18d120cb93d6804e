"""The `synthray` command."""

from synthray.cli.app import main as main
