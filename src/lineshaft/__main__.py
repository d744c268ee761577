"""`python -m lineshaft` is the command `lineshaft`."""

from lineshaft.cli.main import main

if __name__ == "__main__":
    main()
