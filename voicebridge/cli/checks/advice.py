"""From what was measured on a machine to the profile that suits it: how many calls, which models, and why. Pure.

Rough on purpose: a call is taken as a turn every ten seconds, in which the caller speaks for three, the model writes
twenty tokens and the voice speaks for five; a machine is full when a third of its cores' time is needed on average,
because turns come in crowds (8 calls of the embedded profile on two cores were measured, and are about what comes out).
What writing costs grows with a model's size, because each token reads all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voicebridge.engines.trial import Trial
from voicebridge.modelstore.catalogue import Model

TURN_S, CALLER_S, VOICE_S, TOKENS = 10.0, 3.0, 5.0, 20
FULL = 1 / 3
CROWD = 3
"""Of so many calls, one at most wants the same engine in the same second."""
CLAUSE_TOKENS, CLAUSE_S = 6, 1.0
"""A model is too slow where its first clause takes longer, warm and alone."""
LLM_THREADS = 2
MEMORY = 0.7
"""Of the machine's memory, what models may take."""
DAEMON_MB = 250
CALLS = 2
"""A bigger model is recommended while so many calls still fit."""
NEURAL_FACTOR = 0.15
"""Of real time, what a Piper voice takes of one core where it was not measured."""
BIG_STT = 4
"""Cores from which on a big recogniser is worth its memory."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`load`: what others made it do before it was measured (processes that want a core)."""

    cores: int
    memory_mb: int
    load: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """A language model on this machine, as far as can be foretold: `calls` at once, the first clause's seconds.

    `reason`: why it will not do; empty for one that does.
    """

    model: str
    calls: int
    clause_s: float
    tokens_per_s: float
    memory_mb: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """`calls` at once with the recommended models; `reasons` in words; `fetch` what is to be fetched; `config` the
    lines for voicebridge.toml."""

    calls: int
    embedded_calls: int
    stt: str
    llm: str
    tts: str
    reasons: tuple[str, ...]
    options: tuple[Option, ...]
    fetch: tuple[str, ...]
    config: str


def advise(machine: Machine, trials: Sequence[Trial], models: Sequence[Model], language: str, wanted: int) -> Advice:
    """`trials`: one of each kind of the embedded engines; those that failed count as not there. `wanted`: calls."""
    by_kind = {trial.kind: trial for trial in trials if not trial.error}
    reasons: list[str] = []
    stt, stt_model = _recogniser(machine, by_kind.get("stt"), models, language, wanted, reasons)
    tts, tts_model = _voice(by_kind.get("tts"), models, language, reasons)
    hearing = _factor(by_kind.get("stt"))
    spent = DAEMON_MB + sum(model.memory_mb for model in (stt_model, tts_model) if model)
    limits = [trial.at_once for kind in ("stt", "tts") if (trial := by_kind.get(kind)) and not trial.more]
    crowd = min((CROWD * limit for limit in limits if limit is not None), default=1000)
    room = _Room(machine, hearing, NEURAL_FACTOR if tts_model else _factor(by_kind.get("tts")), spent, crowd)
    options = _options(room, by_kind.get("llm"), models, language)
    best = _choose(options, max(wanted, 1), reasons)
    calls = best.calls if best else room.calls(0.0)
    bare = _Room(machine, hearing, _factor(by_kind.get("tts")), DAEMON_MB, crowd)
    english = language.partition("-")[0].lower() == "en"  # the embedded recogniser hears nothing else
    rooms = _options(bare, by_kind.get("llm"), models, language) if english else ()
    embedded = next((option.calls for option in rooms), 0)
    fetch = [model.name for model in (stt_model, tts_model) if model] + ([best.model] if best else [])
    config = _config(stt, stt_model, tts, tts_model, best, calls)
    llm = best.model if best else ""
    return Advice(
        calls, embedded, stt_model.name if stt_model else stt, llm, tts_model.name if tts_model else tts,
        tuple(reasons), options, tuple(fetch), config,
    )  # fmt: skip


# ---- recogniser and voice


def _recogniser(
    machine: Machine, trial: Trial | None, models: Sequence[Model], language: str, wanted: int, reasons: list[str]
) -> tuple[str, Model | None]:
    """The engine's name, and its model where one is to be fetched."""
    mine = [model for model in _speaking(models, "stt", language) if model.is_folder and model.terms == "open"]
    small = next((model for model in mine if model.name.startswith("vosk-small")), None)
    big = next((model for model in mine if not model.name.startswith("vosk-small")), None)
    if machine.cores >= BIG_STT and big and big.memory_mb < MEMORY * machine.memory_mb / 2:
        reasons.append(f"{big.name}: {machine.cores} cores and {_gb(machine.memory_mb)} carry a big recogniser")
        return "vosk", big
    english = language.partition("-")[0] == "en"
    quick = trial is not None and CROWD * (trial.at_once or 0) >= wanted
    if english and quick and trial is not None:
        reasons.append(f"{trial.name} keeps pace: {trial.factor or 0:.2f} of real time, {_many(trial)} at once in time")
        return trial.name, None
    if small is None:
        reasons.append(f"no recogniser for {language!r} in the catalogue: one by Wyoming, elsewhere")
        return "wyoming", None
    why = "it is much less work" if english else f"the embedded one hears English only, this one {language}"
    reasons.append(f"{small.name}: {why}")
    return "vosk", small


def _voice(
    trial: Trial | None, models: Sequence[Model], language: str, reasons: list[str]
) -> tuple[str, Model | None]:
    mine = _speaking(models, "tts", language)
    free = next((model for model in mine if model.terms == "open"), None)
    if free is not None:
        reasons.append(f"{free.name}: a voice that sounds human, free for all; espeak stays for when it fails")
        return "piper", free
    if mine:
        names = ", ".join(model.name for model in mine[:3])
        reasons.append(f"espeak: the voices for {language} have terms that you have to read first ({names})")
    else:
        reasons.append(f"espeak: no other voice for {language!r} in the catalogue")
    return (trial.name if trial else "espeak"), None


def _speaking(models: Sequence[Model], kind: str, language: str) -> list[Model]:
    """Of this kind and language; those of the same region first."""
    spoken = language.partition("-")[0].lower()
    found = [
        model
        for model in models
        if model.kind == kind and any(tag.partition("-")[0] == spoken for tag in model.languages)
    ]
    return sorted(found, key=lambda model: language not in model.languages)


# ---- the language model


@dataclass(frozen=True, slots=True)
class _Room:
    """What is left for the language model: seconds of work for a second heard and spoken, memory spent elsewhere, the
    most calls for another engine's sake."""

    machine: Machine
    hearing: float
    speaking: float
    spent_mb: int
    crowd: int

    def calls(self, llm_s: float) -> int:
        work = CALLER_S * self.hearing + VOICE_S * self.speaking + llm_s
        return min(self.crowd, int(FULL * self.machine.cores * TURN_S / work)) if work else self.crowd


def _options(room: _Room, trial: Trial | None, models: Sequence[Model], language: str) -> tuple[Option, ...]:
    """Every free model by size, the one that was measured among them; nothing where none was measured."""
    measured = next((model for model in models if model.kind == "llm" and model.profile), None)
    if trial is None or measured is None or not trial.per_s or trial.first_p50_s is None:
        return ()
    spoken = language.partition("-")[0].lower()
    found = []
    for model in sorted(models, key=lambda model: model.download_size):
        fits = not model.languages or spoken in {tag.partition("-")[0] for tag in model.languages}
        if model.kind == "llm" and model.terms == "open" and fits and not model.thinks:
            bigger = model.download_size / measured.download_size
            found.append(_option(room, trial.first_p50_s, trial.per_s, model, bigger))
    return tuple(found)


def _option(room: _Room, first_s: float, per_s: float, model: Model, bigger: float) -> Option:
    """`first_s` and `per_s` of the model that was measured; this one is so much `bigger`."""
    clause = bigger * (first_s + CLAUSE_TOKENS / per_s)
    calls = room.calls(LLM_THREADS * bigger * (first_s + TOKENS / per_s))
    memory = model.memory_mb or round(1.5 * model.download_size / 1e6)
    reason = ""
    if room.spent_mb + memory > MEMORY * room.machine.memory_mb:
        needed = _gb(room.spent_mb + memory)
        reason = f"{needed} of memory with all else; this machine has {_gb(room.machine.memory_mb)}"
    elif clause > CLAUSE_S:
        reason = f"its first words would take {clause:.1f} s"
    elif not calls:
        reason = "not even one call fits"
    return Option(model.name, 0 if reason else calls, clause, per_s / bigger, memory, reason)


def _choose(options: Sequence[Option], wanted: int, reasons: list[str]) -> Option | None:
    """The biggest model that leaves room for the calls, else the smallest."""
    usable = [option for option in options if not option.reason]
    if not usable:
        reasons.append("no language model is quick enough: rules, forms and handoff do without, or use one elsewhere")
        return None
    best = next((option for option in reversed(usable) if option.calls >= wanted), usable[0])
    pace = f"some {best.tokens_per_s:.0f} tokens a second, first words after {best.clause_s:.1f} s"
    reasons.append(f"{best.model}: {pace}")
    after = next((option for option in options if option.memory_mb > best.memory_mb), None)
    if after is not None:
        why = after.reason or f"it leaves room for {after.calls} at once only"
        reasons.append(f"nothing bigger: {after.model}: {why}")
    return best


def _factor(trial: Trial | None) -> float:
    return trial.factor if trial is not None and trial.factor else NEURAL_FACTOR


def _many(trial: Trial) -> str:
    return f"{trial.at_once}{' or more' if trial.more else ''}"


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB"


# ---- what to write down


def _config(
    stt: str, stt_model: Model | None, tts: str, tts_model: Model | None, llm: Option | None, calls: int
) -> str:
    voices = f'["{tts}", "espeak"]' if tts_model else f'"{tts}"'
    lines = ["[listen]", f"max_calls = {max(1, calls)}", "", "[engines]", f'stt = "{stt}"', f"tts = {voices}"]
    lines.append('llm = "llama_server"' if llm else 'llm = ""')
    if stt_model:
        lines += ["", f"[engines.options.{stt}]", f'model = "{stt_model.name}"']
    if tts_model:
        lines += ["", f"[engines.options.{tts}]", f'voice = "{tts_model.name}"']
    if llm:
        lines += ["", "[engines.options.llama_server]", f'model = "{llm.model}"', f"slots = {max(1, min(calls, 32))}"]
    return "\n".join(lines) + "\n"
