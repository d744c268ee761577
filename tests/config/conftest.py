"""A machine of its own for each test: a root directory, a home, and what writes files into conf.d."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lineshaft.config import Config, Flags, load_config


class Machine:
    """What `load_config` sees of a machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home" / "ada"
        self.variables = {"HOME": str(self.home)}
        self.conf_d = self.home / ".lineshaft" / "conf.d"

    def write(self, content: str, name: str = "lineshaft.toml") -> Path:
        """A file in the development conf.d."""
        self.conf_d.mkdir(parents=True, exist_ok=True)
        file = self.conf_d / name
        file.write_text(content, "utf-8")
        return file

    def make(self, *names: str) -> None:
        """Directories under the root."""
        for name in names:
            (self.root / name).mkdir(parents=True)

    def load(self, flags: Flags | None = None, /, **variables: str) -> Config:
        """Load with these flags and, beside HOME, these variables."""
        return load_config(flags or Flags(), {**self.variables, **variables}, root=self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def loaded(machine: Machine) -> Callable[[str], Config]:
    """The Config of a TOML text."""

    def load(content: str) -> Config:
        machine.write(content)
        return machine.load()

    return load
