"""What the single-file executable runs: the command line."""

from lineshaft.cli.main import main

main()
