"""``python -m watershed``: the command line."""

from watershed.cli.app import main

main()
