"""`voicebridge install-service`, `uninstall-service`, `upgrade-service`: the daemon as a service of systemd's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

import voicebridge
from voicebridge.config import ETC, ConfigError, Listen, load

SHIPPED = Path(voicebridge.__file__).parent / "data" / "systemd"
SHIPPED_PREFIX = "/opt/voicebridge/current"
UNITS = ("voicebridge.service", "voicebridge.socket", "voicebridge-fastagi.socket", "voicebridge-web.service")
UNIT_FOLDER = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")
"""Is there where systemd is the system's first process (sd_booted(3))."""
ROOT = click.Path(path_type=Path, file_okay=False)
HOMES = ("/home/", "/root/", "/run/user/")
CONFIG = """\
# voicebridge. What else there is: README.md, and `voicebridge doctor` for what is wrong.
default_agent = "demo"

[store]
dir = "/var/lib/voicebridge"     # the service's own folder, named here so that commands of root's find it

# The addresses of [listen] get into voicebridge.socket and voicebridge-fastagi.socket by `voicebridge install-service`.
"""


class NotInstalled(click.ClickException):
    """It cannot be done here; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class File:
    """What is written where. `keep`: not over one that is there."""

    path: Path
    text: str
    keep: bool = False
    mode: int = 0o644


def own_prefix() -> Path:
    """The installation that a unit should start: `current` beside a versions/ folder, else the environment itself."""
    prefix = Path(sys.prefix)
    for folder in prefix.parents[:2]:
        link = folder / "current"
        if link.is_symlink() and link.resolve() == prefix.resolve():
            return link
    return prefix


def unit_texts(prefix: Path, listen: Listen) -> dict[str, str]:
    """The units as they are installed: started from `prefix`, sockets where `[listen]` wants them."""
    agi = listen.fastagi_address
    streams = {
        "voicebridge.socket": ("127.0.0.1:9092", listen.audiosocket),
        "voicebridge-fastagi.socket": ("127.0.0.1:4573", _joined(*agi) if agi else ""),
    }
    texts = {}
    for name in UNITS:
        text = (SHIPPED / name).read_text(encoding="utf-8").replace(SHIPPED_PREFIX, str(prefix))
        if name in streams:
            shipped, wanted = streams[name]
            if not wanted:
                continue
            text = text.replace(f"ListenStream={shipped}", f"ListenStream={wanted}")
        elif not agi:  # [listen] fastagi = "": there is no such socket
            text = text.replace(" voicebridge-fastagi.socket", "")
        texts[name] = text
    return texts


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def planned(root: Path, prefix: Path) -> list[File]:
    """Raises ConfigError where a configuration is there and cannot be used."""
    etc = root / ETC.relative_to("/")
    config = etc / "voicebridge.toml"
    listen = load(config).config.listen if config.exists() else Listen()
    units = root / UNIT_FOLDER.relative_to("/")
    return [
        *(File(units / name, text) for name, text in unit_texts(prefix, listen).items()),
        File(config, CONFIG, keep=True),
    ]


def problems(prefix: Path) -> list[str]:
    """Why a service could not start from there."""
    found = []
    real = prefix.resolve()
    if f"{real}/".startswith(HOMES):
        found.append(
            f"{real} is in a home, which the service may not see: install into /opt "
            "(python3 -m venv /opt/voicebridge/versions/X; or PIPX_HOME=/opt/pipx pipx install ...)"
        )
    if not (prefix / "bin" / "python").exists():
        found.append(f"{prefix}/bin/python is not there: --prefix names a virtual environment")
    elif f"{(prefix / 'bin' / 'python').resolve()}".startswith(HOMES):
        found.append(f"{prefix}/bin/python links into a home, which the service may not see: use the system's Python")
    return found


@click.command("install-service")
@click.option("--prefix", type=click.Path(path_type=Path, file_okay=False), help="The virtual environment to start.")
@click.option("--root", type=ROOT, default=Path("/"), help="Install below it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
def install_service(prefix: Path | None, root: Path, dry_run: bool, as_json: bool) -> None:
    """Write the units of systemd for this installation, and a configuration where there is none."""
    prefix = (prefix or own_prefix()).absolute()
    if (wrong := problems(prefix)) and not dry_run and root == Path("/"):
        raise NotInstalled("; ".join(wrong))
    try:
        files = planned(root, prefix)
    except ConfigError as error:
        raise NotInstalled(str(error)) from error
    done = []
    for file in files:
        state = "kept" if file.keep and file.path.exists() else "would write" if dry_run else "written"
        if state == "written":
            _write(file)
        done.append({"path": str(file.path), "state": state})
    if not dry_run and root == Path("/"):
        _systemctl("daemon-reload")
    if as_json:
        click.echo(json.dumps({"prefix": str(prefix), "files": done, "problems": wrong}))
        return
    for each in done:
        click.echo(f"{each['state']:11} {each['path']}")
    for problem in wrong:
        click.echo(f"voicebridge: {problem}", err=True)
    click.echo(NEXT.format(prefix=prefix, examples=SHIPPED / "examples"))


NEXT = """
The service's user exists while it runs (DynamicUser): no user and no folder has to be made. Next:
  VOICEBRIDGE_CACHE=/var/cache/voicebridge {prefix}/bin/voicebridge models fetch
  systemctl enable --now voicebridge-fastagi.socket voicebridge.socket voicebridge.service
  systemctl status voicebridge; journalctl -u voicebridge -f
  {prefix}/bin/voicebridge dialplan install        # and the dashboard: systemctl enable --now voicebridge-web
Drop-ins to copy from (passwords, a PBX elsewhere, graphics cards, PostgreSQL): {examples}"""


def _write(file: File) -> None:
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        part = file.path.with_name(f".{file.path.name}.part")
        part.write_text(file.text, encoding="utf-8")
        part.chmod(file.mode)
        part.replace(file.path)
    except OSError as error:
        cure = " (run it as root)" if isinstance(error, PermissionError) else ""
        raise NotInstalled(f"{file.path}: {error.strerror}{cure}") from error


@click.command("uninstall-service")
@click.option("--root", type=ROOT, default=Path("/"), help="Where it is installed.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def uninstall_service(root: Path, dry_run: bool) -> None:
    """Stop the service (calls may finish) and remove its units. Configuration, calls and models stay."""
    there = [path for name in UNITS if (path := root / UNIT_FOLDER.relative_to("/") / name).exists()]
    ours = [path for path in there if path.read_text(encoding="utf-8").startswith("# voicebridge")]
    if not dry_run and root == Path("/") and ours:
        sockets_first = sorted((path.name for path in ours), key=lambda name: not name.endswith(".socket"))
        _systemctl("disable", "--now", *sockets_first)
    for path in ours:
        click.echo(f"{'would remove' if dry_run else 'removed'} {path}")
        if not dry_run:
            path.unlink()
    for path in set(there) - set(ours):
        click.echo(f"kept {path}: it is not of our making", err=True)
    if not dry_run and root == Path("/"):
        _systemctl("daemon-reload")
    click.echo("Kept: /etc/voicebridge, /var/lib/voicebridge (calls), /var/cache/voicebridge (models).")


@click.command("upgrade-service")
@click.argument("version", type=click.Path(path_type=Path, file_okay=False, exists=True), required=False)
def upgrade_service(version: Path | None) -> None:
    """Let a new daemon take the calls, while the old one finishes its own.

    VERSION is the virtual environment that `current` is to point to first, the old one for a roll-back; without it the
    daemon is replaced by one of the version that `current` names. A new daemon that does not get ready changes nothing.
    """
    if version is not None:
        if not (version / "bin" / "python").exists():
            raise NotInstalled(f"{version} is no virtual environment: there is no bin/python")
        link = version.absolute().parent.parent / "current"
        if link.exists() and not link.is_symlink():
            raise NotInstalled(f"{link} is no link: versions stand in FOLDER/versions, and FOLDER/current links to one")
        part = link.with_name(f".current.{os.getpid()}")
        part.symlink_to(version.absolute())
        part.replace(link)
        click.echo(f"{link} -> {version.absolute()}")
    _systemctl("kill", "--kill-whom=main", "--signal=SIGUSR2", "voicebridge.service")
    click.echo("A new daemon starts; what comes of it: journalctl -u voicebridge -n 20, systemctl status voicebridge")


def _systemctl(*arguments: str) -> None:
    """Nothing where systemd does not run: units are files then, for later."""
    program = shutil.which("systemctl")
    if program is None or not BOOTED.exists():
        click.echo(f"systemd does not run here: not done: systemctl {' '.join(arguments)}", err=True)
        return
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")
