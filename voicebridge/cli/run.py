"""`voicebridge run`: the daemon in the foreground, below a small parent that watches it."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import uvloop

from voicebridge import logs
from voicebridge.config import ConfigError, Listen, Settings, is_loopback, load, split_address
from voicebridge.plugins import PluginError
from voicebridge.watch import parent as watch
from voicebridge.watch.heart import Heart
from voicebridge.watch.sockets import Sockets, StrangeSocket

if TYPE_CHECKING:
    from voicebridge.daemon import Daemon  # slow to import: not before the parent has been left

log = logging.getLogger(__name__)

config_option = click.option(
    "--config",
    "-c",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="voicebridge.toml; without one /etc/voicebridge/voicebridge.toml, else the embedded profile on loopback.",
)


def settings_or_exit(path: Path | None) -> Settings:
    try:
        return load(path)
    except ConfigError as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)


@click.command()
@config_option
@click.option("--agent", help="The agent that answers, whatever the configuration says.")
@click.option("--listen", metavar="HOST:PORT", help="Where AudioSocket connections are taken.")
@click.option("--fastagi", metavar="HOST:PORT", help='Where Asterisk asks before and after calls; "" switches it off.')
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), help="Folder where calls are kept.")
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    help="Seconds that calls may go on at shutdown, instead of service.drain_s. A second SIGTERM ends them at once.",
)
@click.option("--record/--no-record", default=None, help="Keep a stereo WAV a call (caller left, agent right).")
@click.option("--event-log/--no-event-log", default=None, help="Keep each call's events, for `voicebridge replay`.")
@click.option(
    "--deadlines/--no-deadlines",
    default=None,
    help="Whose caller would hear silence first is served first; or who came first, for comparison.",
)
@click.option(
    "--parent/--no-parent",
    "watched",
    default=True,
    help="Whether a small parent process watches the daemon, kills a frozen one and starts it again (it does).",
)
def run(
    path: Path | None,
    agent: str | None,
    listen: str | None,
    fastagi: str | None,
    store: Path | None,
    drain: float | None,
    record: bool | None,
    event_log: bool | None,
    deadlines: bool | None,
    watched: bool,
) -> None:
    """Serve calls until SIGTERM or Ctrl-C."""
    try:
        settings = overridden(settings_or_exit(path), agent, listen, record, event_log, store, fastagi, deadlines)
        logs.setup(settings.config.log.format)
        if watched:
            become_parent(sys.argv[1:], settings)
        uvloop.run(_serve(settings, settings.config.service.drain_s if drain is None else drain))
    except (ConfigError, PluginError, StrangeSocket) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)
    finally:  # nobody may wait at systemd's sockets for a daemon that does not come; else they are taken by now
        with contextlib.suppress(StrangeSocket):
            Sockets.taken().turn_away()


def become_parent(arguments: list[str], settings: Settings) -> NoReturn:
    """Turn into the watching parent, which starts `voicebridge ARGUMENT... --no-parent`.

    This process goes on as another program, and so without all that reading the configuration has loaded. How ARI is
    reached it takes along in a pipe: a configuration that was spoilt meanwhile must not keep it from sweeping. Raises
    ConfigError.
    """
    from voicebridge.pbx.asterisk.ari import access_of

    here = Path(__file__).parents[2] == Path.cwd()
    safe = [] if here else ["-P"]  # else whatever lies in the working folder could be imported for ours
    command = [sys.executable, *safe, "-m", watch.__name__]
    if (access := access_of(settings.config)) is not None:
        reading, writing = os.pipe()
        os.write(writing, json.dumps(asdict(access)).encode())
        os.close(writing)
        os.set_inheritable(reading, True)
        command += ["--sweep", str(reading)]
    os.environ[logs.VARIABLE] = settings.config.log.format
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [*command, *arguments])  # noqa: S606 - no shell wanted


def overridden(
    settings: Settings,
    agent: str | None,
    listen: str | None,
    record: bool | None,
    event_log: bool | None,
    store: Path | None = None,
    fastagi: str | None = None,
    deadlines: bool | None = None,
) -> Settings:
    """The settings with what the command line says."""
    config = settings.config
    if agent is not None:
        if agent not in settings.agents:
            known = ", ".join(sorted(settings.agents))
            click.echo(f"voicebridge: no agent {agent!r}; there are: {known}", err=True)
            sys.exit(2)
        config = config.model_copy(update={"default_agent": agent})
    given = "allow" in config.listen.model_fields_set
    for option, key, address in (("--listen", "audiosocket", listen), ("--fastagi", "fastagi", fastagi)):
        if address is not None:
            config = config.model_copy(update={"listen": listening(config.listen, option, key, address, given)})
    if deadlines is not None:
        config = config.model_copy(update={"engines": config.engines.model_copy(update={"deadlines": deadlines})})
    wanted = {"record_audio": record, "event_log": event_log, "dir": store}
    changes = {name: value for name, value in wanted.items() if value is not None}
    config = config.model_copy(update={"store": config.store.model_copy(update=changes)})
    return settings.model_copy(update={"config": config})


def listening(before: Listen, option: str, key: str, address: str, given: bool) -> Listen:
    """With another address; exits where that cannot be. `given`: whether the allow-list is the owner's own."""
    try:
        changed = Listen(**{**before.model_dump(), key: address})
        changed.check_exposure(given)
    except (ValueError, ConfigError) as error:
        click.echo(f"voicebridge: {option}: {error}", err=True)
        sys.exit(2)
    if address and is_loopback(split_address(address)[0]):  # nobody else can reach it, and this machine may
        changed = changed.model_copy(update={"allow": (*changed.allow, *Listen().allow)})
    return changed


async def _serve(settings: Settings, drain: float) -> None:
    from voicebridge.daemon import Daemon

    sockets = Sockets.taken().opened()
    daemon = Daemon(
        settings, progress=lambda text: click.echo(f"voicebridge: {text} ...", err=True), given=sockets
    )
    heart = Heart.inherited(
        daemon.ticker, lacking=daemon.lacking, workers_s=settings.config.service.workers_s, says=daemon.says
    )
    heart.start()
    if heart.watched:
        faulthandler.register(watch.TRACEBACK)  # asked for before a frozen daemon is killed
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again; the default is to die
    try:
        await daemon.start()
    except BaseException:
        await daemon.close()
        raise
    click.echo(
        f"voicebridge: ready. {', '.join(daemon.doors)}, agent {settings.config.default_agent!r} ({settings.source})",
        err=True,
    )
    heart.ready()
    obey_hangup(daemon, heart)
    await daemon.serve(drain_s=drain)
    heart.ending()


def obey_hangup(daemon: Daemon, heart: Heart) -> None:
    """At SIGHUP read the agents again. What is wrong with them is logged, and the old ones go on."""
    running: set[asyncio.Task[None]] = set()

    async def again() -> None:
        heart.reloading()
        try:
            await daemon.reload()
        except (ConfigError, PluginError) as error:
            log.error("not reloaded, the daemon goes on as it was: %s", error)  # noqa: TRY400 - the cause says it all
        finally:
            heart.ready()

    def asked() -> None:
        task = asyncio.ensure_future(again())
        running.add(task)
        task.add_done_callback(running.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked)
