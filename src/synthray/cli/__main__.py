"""`python -m synthray.cli`."""

from synthray.cli.app import main

main()
