"""doctor on Asterisk's own interfaces, where the configuration names them: ARI for callers, AMI for redirects."""

from __future__ import annotations

from voicebridge.cli.checks.finding import Finding
from voicebridge.config import ConfigError, Settings
from voicebridge.pbx.asterisk import ami, ari

ARI_MODULES = {
    "res_ari_channels": "calls", "res_ari_bridges": "bridges", "res_ari_events": "events", "app_stasis": "Stasis()",
    "chan_audiosocket": "the audio", "bridge_simple": "bridges of two",
}  # fmt: skip
INCLUDE = 'include "voicebridge-ari.conf" in extensions.conf (voicebridge dialplan install), then: dialplan reload'


async def check(settings: Settings) -> list[Finding]:
    """Nothing where neither is configured."""
    return [*await _ari(settings), *await _ami(settings)]


async def _ari(settings: Settings) -> list[Finding]:
    try:
        access = ari.access_of(settings.config)
    except ConfigError as error:
        return [Finding("ari", "fail", str(error), "make it readable for the user who runs voicebridge")]
    if access is None:
        return []
    try:
        async with ari.Ari(access, timeout_s=3.0) as client:
            version = await client.version()
            missing = [name for name in ARI_MODULES if not await client.runs_module(name)]
    except ari.AriError as error:
        return [Finding("ari", "fail", str(error), "see [ari] in voicebridge.toml, http.conf and ari.conf")]
    if missing:
        needed = ", ".join(f"{name} ({ARI_MODULES[name]})" for name in missing)
        cure = "; ".join(f"module load {name}.so" for name in missing)
        return [Finding("ari", "fail", f"Asterisk {version} at {access.url} lacks {needed}", cure)]
    return [Finding("ari", "ok", f"Asterisk {version} at {access.url}, application {access.app}")]


async def _ami(settings: Settings) -> list[Finding]:
    try:
        access = ami.access_of(settings.config)
        if access is None:
            return []
        lacking = await ami.missing(access)
        if lacking:
            return [Finding("ami", "fail", "; ".join(lacking), "then: manager reload")]
        return [Finding("ami", "ok", f"logged in at {access.address}"), *await _contexts(access, settings)]
    except (ConfigError, ami.AmiError) as error:
        return [Finding("ami", "fail", str(error), "see [ami] in voicebridge.toml and manager.conf")]


async def _contexts(access: ami.AmiAccess, settings: Settings) -> list[Finding]:
    """Who uses ARI needs its dialplan: without it a human who accepts cannot be given the caller."""
    if settings.config.ari is None:
        return []
    async with ami.connected(access) as client:
        shown = "\n".join(await client.command("dialplan show voicebridge-warm"))
    if "Context 'voicebridge-warm'" in shown:
        return [Finding("ari dialplan", "ok", "the context voicebridge-warm is there")]
    return [Finding("ari dialplan", "fail", "Asterisk has no context voicebridge-warm", INCLUDE)]
