"""The command line. Nothing imports this package, and each command is imported only when it is the one asked for."""

__all__: list[str] = []
