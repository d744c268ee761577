"""The build hook of a compiled wheel: `make compiled`. Without it, as nearly always, the package is pure Python.

The modules that every command passes through are compiled by mypyc, from the same sources, which `mypy --strict` has
checked; the rest is interpreted. What is compiled lies beside its source, and Python takes it first: whoever deletes
the compiled files has the pure package again. Reasons and figures: docs/decisions/0023-a-compiled-build.md.

What stays interpreted: modules in which records are defined (`msgspec.Struct`, which is C already), `engine/turn`, of
which the cluster makes a class of its own, and whatever is not in the path of a command.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES: Final = (
    "fields",
    "protocol/framing",
    "server/session",
    "server/server",
    "server/commands",
    "engine/keys",
    "engine/line",
    "engine/lanes/lane",
    "engine/lanes/lanes",
    "engine/lanes/turns",
    "engine/ready",
    "engine/leases",
    "engine/index",
    "engine/stats/outcomes",
    "engine/state",
    "engine/push",
    "engine/fetch",
    "engine/finish",
    "engine/naming",
    "engine/engine",
)
"""What is compiled, all together, so that they call one another without Python in between."""


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled modules to the wheel, which is then for one version of Python on one kind of machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what goes into the wheel; an editable installation stays as it is."""
        if version == "editable":
            return
        self._scratch = Path(tempfile.mkdtemp(prefix="compiled-"))
        built = compile_modules(Path(self.root) / "src", self._scratch)
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["force_include"].update({str(path): str(path.relative_to(self._scratch)) for path in built})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """The wheel is written."""
        if version != "editable":
            shutil.rmtree(self._scratch)


def compile_modules(source: Path, target: Path) -> list[Path]:
    """Compile MODULES of the package under `source`; returns the files that were written to `target`."""
    # Only who builds needs them.
    from mypyc.build import mypycify  # noqa: PLC0415
    from setuptools import Distribution  # noqa: PLC0415

    before = Path.cwd()
    # mypy names a module by its path from here.
    os.chdir(source)
    try:
        paths = [f"lineshaft/{module}.py" for module in MODULES]
        extensions = mypycify(
            ["--config-file=", "--ignore-missing-imports", *paths],
            target_dir=str(target / "build"),
            group_name="lineshaft",
        )
        command = Distribution({"name": "lineshaft", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(target / "lib"), str(target / "objects")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    for path in (target / "lib").iterdir():
        path.rename(target / path.name)
    return [*target.glob("*.so"), *(target / "lineshaft").rglob("*.so")]
