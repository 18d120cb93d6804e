"""`python -m synthray`."""

from synthray.cli import main

main()
