"""`lineshaft completion`: what a shell must know to complete our words."""

import sys
from typing import Literal

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script for a shell: `lineshaft completion bash > /etc/bash_completion.d/lineshaft`.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from lineshaft.cli.app import build_app  # noqa: PLC0415 - it names this command, so it cannot be imported before

    sys.stdout.write(build_app().generate_completion(prog_name="lineshaft", shell=shell))
    return 0
