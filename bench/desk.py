"""An agent whose calls the tests' tiny models can hold: what its callers say, and what it says but for the model, is
made of the hundred words that they know. For benchmarks and tests of Vosk, llama.cpp and Piper in whole calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench.loop import RATE, RECOGNISER, VOICE, spoken
from voicebridge.audio.measure import last_voiced
from voicebridge.audio.pcm import silence
from voicebridge.phone import Line

GREETING = "hello how can i help you"
HOURS = "support is open monday at nine thank you"
ACCOUNT = "what is the account number please"
FILLER = "okay"
DONE = "thank you that is okay"
ASK_HOURS = "when is support open please"
ASK_ACCOUNT = "check the status of my account please"
DIGITS = "four two seven one"
ASK_MODEL = "can i talk with you today"
ASK_MODEL_MORE = "how much help do you need"
ASK_HELP = "i need help with my order"
TRAIL_S = 0.05
"""A line of the caller's ends in so much silence."""
AGENT = f"""\
name = "desk"
greeting = "{GREETING}"
instructions = "You are the telephone assistant of a support desk. Answer in one short sentence."
[[rules]]
name = "hours"
examples = ["{ASK_HOURS}", "what are the opening hours of support"]
say = ["{HOURS}"]
[lines]
fillers = ["{FILLER}"]
anything_else = ""
[limits]
answer_tokens = 12
"""
FORM = f"""\
[[rules]]
name = "account"
examples = ["{ASK_ACCOUNT}", "what is the status of my account"]
action = "form"
form = "account"
[[forms]]
name = "account"
tool = "take_message"
fixed = [["name", "desk"], ["message", "status"]]
[[forms.slots]]
name = "phone"
kind = "digits"
least = 4
most = 4
ask = ["{ACCOUNT}"]
[tool_settings.take_message]
say = "{DONE}"
"""
OPTIONS = f"""\
[engines.options.vosk]
model = "{RECOGNISER["model"]}"
language = "en"
nice = 0
[engines.options.piper]
voice = "{VOICE}"
nice = 0
[engines.options.llama_cpp]
calls = 2
nice = 0
[engines.options.llama_server]
nice = 0
[engines.options.espeak]
nice = 0
"""
"""Not nicer than the daemon: what else runs on a shared machine should decide nothing."""


def engines(stt: Sequence[str], llm: Sequence[str], tts: Sequence[str], more: str = "") -> str:
    """`[engines]` with these, the preferred one first; `more` is more options."""
    lists = "\n".join(f"{kind} = {list(names)}" for kind, names in {"stt": stt, "llm": llm, "tts": tts}.items())
    return f'[engines]\n{lists}\nembed = ""\n{OPTIONS}{more}'


def prepare(folder: Path, lineup: str, *, form: bool = False) -> Path:
    """A configuration in that folder: the agent, and engines. With a form its tool is in the model's prompt, too."""
    (folder / "agents").mkdir(parents=True, exist_ok=True)
    for embedded in ("demo", "open"):  # whose prompts would be computed at the start
        (folder / "agents" / f"{embedded}.toml").write_text(f'greeting = "{GREETING}"\nmodel_scope = "none"\n')
    (folder / "agents" / "desk.toml").write_text('tools = ["take_message"]\n' + AGENT + FORM if form else AGENT)
    (folder / "voicebridge.toml").write_text(f'default_agent = "desk"\n{lineup}')
    return folder / "voicebridge.toml"


def lines(texts: Sequence[str]) -> list[Line]:
    """A caller who says them, by the tiny voice, as a telephone carries it."""
    sounds = asyncio.run(spoken(texts))
    trail = silence(TRAIL_S, RATE)
    return [Line(text, _trimmed(pcm) + trail) for text, pcm in zip(texts, sounds, strict=True)]


def _trimmed(pcm: bytes) -> bytes:
    """Without the quiet at its end."""
    last = last_voiced(pcm, RATE)
    return pcm if last is None else pcm[: 2 * (last + 1)]
