"""`voicebridge engines serve`: an engine of this machine for the daemons on others."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import uvloop

from voicebridge import plugins
from voicebridge.choice import Choice
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import ConfigError, Settings, is_loopback, split_address, unbound
from voicebridge.engines.door import LOOPBACK, Door, HttpDoor, Network
from voicebridge.lineup import make_engine
from voicebridge.plugins import PluginError

log = logging.getLogger(__name__)

PORTS = {"stt": 10300, "llm": 8080, "tts": 10200}
"""What `--listen HOST` alone means: the ports that Wyoming's speech servers and llama.cpp's have by custom."""
SCHEMES = {"stt": "tcp://{}", "llm": "http://{}/v1", "tts": "tcp://{}"}
READY_S = 120.0


@dataclass(frozen=True)
class Serving:
    """Which engine, where, for whom."""

    choice: Choice
    host: str
    port: int
    allow: tuple[Network, ...]
    key: str

    @property
    def line(self) -> str:
        """The line of configuration by which a daemon elsewhere uses it."""
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f'{self.choice.kind} = "{SCHEMES[self.choice.kind].format(where)}"'


def _networks(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(value) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write e.g. 10.0.0.0/24 or 10.0.0.7", context, parameter) from error


@click.command()
@config_option
@click.argument("name")
@click.option("--listen", default="127.0.0.1", metavar="HOST[:PORT]", show_default=True,
              help="Where it is served; without a port 10300 (stt), 10200 (tts), 8080 (llm).")
@click.option("--allow", multiple=True, callback=_networks, metavar="NETWORK",
              help="Who may connect; may be repeated. Needed for anything but loopback.")
@click.option("--kind", type=click.Choice(sorted(PORTS)), help="Where engines of two kinds have the name.")
@click.option("--key-env", metavar="VARIABLE", default="", help="The environment variable with the key (llm).")
def serve(
    path: Path | None, name: str, listen: str, allow: tuple[Network, ...], kind: str | None, key_env: str
) -> None:
    """Serve the engine NAME to daemons on other machines, until SIGTERM or Ctrl-C.

    Speech engines speak Wyoming: without keys or encryption, so use a network of your own, WireGuard or a tunnel.
    A language model is served over HTTP, as OpenAI's API, with a key. The line for the daemon's configuration is
    printed at once, "ready" when the model has been loaded.
    """
    settings = settings_or_exit(path)
    try:
        serving = _serving(_choice(settings, name, kind), listen, allow, key_env)
        uvloop.run(_serve(settings, serving))
    except (ConfigError, PluginError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)


def _choice(settings: Settings, name: str, kind: str | None) -> Choice:
    """An engine of the configuration, or any that is installed. Raises ConfigError."""
    found = [
        one
        for each in ((kind,) if kind else PORTS)
        for one in (*settings.config.engines.chosen(each), *_installed(settings, each, name))
        if one.name == name
    ]
    if not found:
        known = ", ".join(f"{each}: {' '.join(plugins.names(each))}" for each in PORTS)
        raise ConfigError(f"no engine is named {name!r} ({known})")
    if len(kinds := {one.kind: None for one in found}) > 1:
        raise ConfigError(f"{name} is the name of several engines: add --kind {' or --kind '.join(kinds)}")
    return found[0]


def _installed(settings: Settings, kind: str, name: str) -> tuple[Choice, ...]:
    """With the options that the configuration has for it, if any."""
    if name not in plugins.names(kind):
        return ()
    given = {key: value for key, value in settings.config.engines.options.get(name, {}).items() if key != "engine"}
    return (Choice(kind, name, name, given),)


def _serving(choice: Choice, listen: str, allow: tuple[Network, ...], key_env: str) -> Serving:
    """Raises ConfigError for what would be open to everybody."""
    try:
        host, port = split_address(listen)
    except ValueError:
        host, port = listen.strip("[]"), PORTS[choice.kind]
    if not is_loopback(host) and not allow:
        raise ConfigError(f"--listen {listen} is reachable from outside: name who may connect, e.g. --allow 10.0.0.7")
    key = os.environ.get(key_env, "").strip() if key_env else ""
    if key_env and not key:
        raise ConfigError(f"the environment has no {key_env}: set it, or correct --key-env")
    if choice.kind == "llm" and not is_loopback(host) and not key:
        raise ConfigError("a language model is served beyond loopback with a key only: --key-env VARIABLE")
    if choice.kind != "llm" and key:
        raise ConfigError("Wyoming has no keys: leave --key-env out, and use a network of your own or a tunnel")
    return Serving(choice, host, port, allow or LOOPBACK, key)


async def _serve(settings: Settings, serving: Serving) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = make_engine(settings, serving.choice)
    worker = getattr(getattr(engine, "host", None), "worker", None)
    if worker is None or worker.spec.socket is None:
        raise ConfigError(f"{serving.choice.name} runs no server on this machine that could be served to others")
    door = _door(serving, worker.spec.socket)
    try:
        await door.open(serving.host, serving.port)
    except OSError as error:
        cause = unbound(error, serving.port)
        raise ConfigError(f"cannot listen on {serving.host}:{serving.port}: {cause}") from error
    await engine.start()
    click.echo(replace(serving, port=door.port).line)
    ready = asyncio.create_task(_tell_ready(worker, serving.choice.name))
    await stop.wait()
    ready.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ready
    await door.close()
    await engine.stop()


def _door(serving: Serving, inside: Path) -> Door:
    if serving.choice.kind == "llm":
        return HttpDoor(inside, serving.allow, key=serving.key)
    return Door(inside, serving.allow)


async def _tell_ready(worker: Any, name: str) -> None:
    if await worker.wait_ready(READY_S):
        click.echo(f"ready: {name} serves")
    else:
        log.error("%s is not ready after %.0f s: %s", name, READY_S, worker.last_error or "see the log above")
