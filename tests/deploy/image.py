"""A Dockerfile without an engine: its steps in clean root folders, as far as that goes.

FROM a Debian image becomes a folder made by debootstrap; RUN is done in it by chroot, COPY copies, ENV, WORKDIR and
USER are remembered. What an engine adds (layers, namespaces, volumes, the health check's timer) is not there: it shows
that the steps work on a bare Debian, and that what they make runs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

#: What the image of that name holds.
SUITES = {"debian:bookworm-slim": "bookworm"}


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Stage:
    """One FROM, and what has become of it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    directory: str = "/"
    user: str | None = None
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def call(self, words: list[str], **more: str) -> list[str]:
        """How to run a command in it."""
        inside = ["env", "-i", *(f"{name}={value}" for name, value in {**self.environment, **more}.items())]
        user = [f"--userspec={self.user}"] if self.user else []
        script = f"cd {shlex.quote(self.directory)} && exec {shlex.join(words)}"
        return ["chroot", *user, str(self.root), *inside, "/bin/bash", "-o", "pipefail", "-c", script]


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, continued lines joined, comments gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def build(dockerfile: Path, context: Path, work: Path) -> Stage:
    """Do every step; returns the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(work)
    base = work / "base"
    for name, rest in instructions(dockerfile.read_text()):
        if name == "FROM":
            image, *alias = re.split(r" +[Aa][Ss] +", rest)
            stage = Stage(work / f"stage-{len(stages)}")
            if not base.exists():
                bootstrap(SUITES[image.strip()], base)
            subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(stage.root)], check=True)
            stages[alias[0] if alias else str(len(stages))] = stage
        elif name == "RUN":
            run = stage.call(["/bin/bash", "-o", "pipefail", "-c", rest], **way_out(stage.root))
            done = subprocess.run(run, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"RUN {rest}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        elif name == "COPY":
            copy(rest, stage, stages, context)
        else:
            remember(stage, name, rest)
    return stage


def bootstrap(suite: str, root: Path) -> None:
    """A minimal Debian, with this machine's way to packages."""
    subprocess.run(["debootstrap", "--variant=minbase", suite, str(root)], check=True, capture_output=True)
    for name in ("etc/resolv.conf", "etc/apt/sources.list", "etc/pip.conf", "etc/hosts"):
        if Path("/", name).is_file():
            shutil.copyfile(Path("/", name), root / name)
    for name in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/ssl/certs", "usr/local/share/ca-certificates"):
        if Path("/", name).is_dir():
            shutil.copytree(Path("/", name), root / name, dirs_exist_ok=True, ignore_dangling_symlinks=True)


def way_out(root: Path) -> dict[str, str]:
    """What package managers need here to reach their packages: variables, and the files that those name."""
    found = {}
    for name, value in os.environ.items():
        if not re.match(r"PIP_|SSL_CERT|REQUESTS_CA|CURL_CA|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY", name):
            continue
        found[name] = value
        if value.startswith("/") and Path(value).is_file():
            (root / value.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(value, root / value.lstrip("/"))
    return found


def copy(rest: str, stage: Stage, stages: dict[str, Stage], context: Path) -> None:
    """COPY, from the context or from another stage."""
    options = [word for word in rest.split() if word.startswith("--")]
    *sources, target = [word for word in rest.split() if not word.startswith("--")]
    origin = next((stages[option.split("=")[1]].root for option in options if option.startswith("--from=")), context)
    place = stage.root / os.path.join(stage.directory, target).lstrip("/")
    for source in sources:
        found = origin / source.lstrip("/")
        into = place / found.name if target.endswith("/") else place
        into.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(
                found, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(found, into)


def remember(stage: Stage, name: str, rest: str) -> None:
    """What an engine would keep with the image."""
    words = [shlex.split(rest)] if not rest.startswith("[") else []
    if name == "ENV":
        for assignment in words[0]:
            key, _, value = assignment.partition("=")
            stage.environment[key] = re.sub(r"\$(\w+)", lambda found: stage.environment.get(found[1], ""), value)
    elif name == "WORKDIR":
        stage.directory = rest
        (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif name == "USER":
        stage.user = rest
    elif name in {"ENTRYPOINT", "CMD"}:
        setattr(stage, {"ENTRYPOINT": "entrypoint", "CMD": "command"}[name], _listed(rest))
    elif name == "HEALTHCHECK":
        stage.healthcheck = _listed(rest.partition("CMD ")[2])


def _listed(text: str) -> list[str]:
    found: list[str] = json.loads(text)
    return found
