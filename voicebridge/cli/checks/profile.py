"""`voicebridge doctor --profile`: a short benchmark of this machine, and the profile that suits it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from voicebridge import plugins
from voicebridge.cli.checks.advice import Advice, Machine, advise
from voicebridge.cli.checks.engines import last_warnings
from voicebridge.cli.checks.finding import Tell
from voicebridge.config import ConfigError, Engines, cache_dir
from voicebridge.engines.base import EngineKind
from voicebridge.engines.trial import Trial, tried
from voicebridge.installation import cure
from voicebridge.modelstore.catalogue import catalogue, offered

SECONDS = 15.0
AT_MOST: dict[EngineKind, int] = {"stt": 16, "llm": 1, "tts": 16, "embed": 1}
"""Callers at once that are imitated; a model's crowd takes too long for a short benchmark."""
SHARE = {"stt": 0.4, "tts": 0.3, "llm": 0.2, "embed": 0.1}
EMBEDDED_HEARS = "en"
"""The language of the embedded recogniser."""
BUSY = 0.5
"""Load by core from which on the measurement tells of others."""
UNFIT = 2
"""So many of the models that will not do are shown."""
CGROUP = Path("/sys/fs/cgroup/memory.max")
MEMINFO = Path("/proc/meminfo")


def machine(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> Machine:
    """Cores that this process may use, and memory: the machine's, or a container's where that is less."""
    lines = meminfo.read_text(encoding="ascii").splitlines()
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("MemTotal:")), 0)
    limit = cgroup.read_text(encoding="ascii").strip() if cgroup.is_file() else "max"
    memory = min(kilobytes * 1024, int(limit)) if limit.isdigit() else kilobytes * 1024
    return Machine(len(os.sched_getaffinity(0)), round(memory / 1e6), round(os.getloadavg()[0], 2))


async def measure(seconds: float, tell: Tell, language: str = "en") -> list[Trial]:
    """The embedded engines, one after the other: what their speed tells of the machine holds for others too.

    For a language that the embedded recogniser does not hear it is Vosk with its smallest model, where that is here.
    """
    trials = []
    for kind in AT_MOST:
        name, options = str(_embedded(kind)), {}
        if kind == "stt" and language.partition("-")[0].lower() != EMBEDDED_HEARS:
            name, model = "vosk", _smallest(language)
            if why := _cannot_hear(language, model):
                trials.append(Trial(kind, name, error=why))
                continue
            options = {"model": model}
        try:
            engine = plugins.load(kind, name).create(options)
        except (plugins.PluginError, ConfigError) as error:
            trials.append(Trial(kind, name, error=str(error)))
            continue
        told = f"measuring {name}"
        with last_warnings():
            made = await tried(kind, engine, seconds=seconds * SHARE[kind], at_most=AT_MOST[kind],
                               language=language if options else "en",
                               tell=lambda text, told=told: tell(f"{told}: {text}"))  # type: ignore[misc] # fmt: skip
        trials.append(made)
    return trials


def _smallest(language: str) -> str:
    """Vosk's smallest free model for a language; "" where the catalogue has none."""
    mine = [model for model in offered(kind="stt", language=language) if model.is_folder and model.terms == "open"]
    return min(mine, key=lambda model: model.download_size).name if mine else ""


def _cannot_hear(language: str, model: str) -> str:
    """Why no engine here hears the language, and the cure; "" where one does."""
    if not model:
        return f"no engine for {language} is installed, and the catalogue has none: use one elsewhere, by Wyoming"
    steps = [] if importlib.util.find_spec("vosk") is not None else [cure("vosk")]
    steps += [] if _here(model) else [f"voicebridge models fetch {model}"]
    return f"no engine for {language} is installed: {' && '.join(steps)}" if steps else ""


def _embedded(kind: str) -> str:
    """The engine that is used where nothing is configured."""
    default = getattr(Engines(), kind)
    return str(default if isinstance(default, str) else next(iter(default), ""))


def examine(language: str, calls: int, seconds: float, tell: Tell) -> tuple[Machine, list[Trial], Advice]:
    here = machine()
    trials = asyncio.run(measure(seconds, tell, language))
    return here, trials, advise(here, trials, catalogue(), language, calls)


def as_json(here: Machine, trials: Sequence[Trial], advice: Advice, language: str) -> str:
    table: dict[str, Any] = {
        "machine": {**asdict(here), "processor": processor(), "date": time.strftime("%Y-%m-%d")},
        "language": language, "measured": [asdict(trial) for trial in trials], "advice": asdict(advice),
    }  # fmt: skip
    return json.dumps(table)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.machine()


def report(here: Machine, trials: Sequence[Trial], advice: Advice, language: str) -> Iterator[str]:
    """Lines for people."""
    today = time.strftime("%Y-%m-%d")
    yield f"This machine: {processor()}, {here.cores} cores, {here.memory_mb / 1000:.0f} GB; {today}"
    if here.load > BUSY * here.cores:
        yield f"It is busy (load {here.load:.1f}): what follows is what is left over. Measure again when it is quiet."
    yield ""
    for trial in trials:
        yield f"  {trial.kind:<6}{trial.name:<14}{_told(trial)}"
    yield ""
    if advice.embedded_calls:
        yield f"By estimate, some {advice.embedded_calls} calls at once on the embedded profile."
    yield (
        f"Recommended for {language}, by estimate for some {advice.calls} calls at once: "
        f"{advice.stt}, {advice.llm or 'no language model'}, {advice.tts}, because"
    )
    for reason in advice.reasons:
        yield f"  - {reason}"
    if advice.options:
        yield ""
        yield "Language models here, estimated from the one that was measured:"
        unfit = [option for option in advice.options if option.reason]
        for option in advice.options:
            if option in unfit[UNFIT:]:
                continue
            room = option.reason or f"some {option.calls} calls at once, first words after {option.clause_s:.1f} s"
            yield f"  {option.model:<26}{room}"
    yield ""
    for engine in ("vosk", "piper"):
        if f'"{engine}"' in advice.config and importlib.util.find_spec(engine) is None:
            yield cure(engine)
    missing = [name for name in advice.fetch if not _here(name)]
    if missing:
        yield f"voicebridge models fetch {' '.join(missing)}"
    yield "and in voicebridge.toml:"
    yield ""
    yield advice.config
    yield "This is an estimate. Whether it is so: voicebridge engines bench, then calls."


def _here(name: str) -> bool:
    return any(model.name == name and model.present(cache_dir()) for model in catalogue())


def _told(trial: Trial) -> str:
    if trial.error:
        return f"not measured: {trial.error}"
    parts = [f"ready after {trial.load_s:.1f} s"]
    if trial.first_p50_s is not None:
        parts.append(f"first output {trial.first_p50_s * 1000:.0f} ms")
    if trial.factor is not None:
        parts.append(f"{trial.factor:.2g} of real time")
    if trial.per_s is not None:
        parts.append(f"{trial.per_s:.0f} a second")
    if trial.kind in ("stt", "tts"):
        parts.append(f"{trial.at_once}{' or more' if trial.more else ''} at once")
    if trial.rss_mb:
        parts.append(f"{trial.rss_mb:.0f} MB")
    return ", ".join(parts)
