"""Which tool a local model picks: how often the right one of eight, on 24 wishes and 6 that need none.

    python -m bench.tools_pick [--model FILE_OR_NAME] [--json]

Also what deciding costs: time to the first token, and to the first spoken word or the whole call, with the tools and
without them, each on a warm prompt.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.calls import spread
from bench.machine import machine
from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, LlmSession
from voicebridge.engines.llama_server import ENGINE

GIVE_UP_S = 60.0
TOKENS = 60


def _tool(tool: str, description: str, /, **properties: dict[str, Any]) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(tool, description, json.dumps(schema))


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


DATE = {"type": "string", "format": "date"}
TIME = {"type": "string", "format": "time"}
PEOPLE = {"type": "integer", "minimum": 1, "maximum": 20}

TOOLS = (
    _tool("book_table", "Book a table.", day=DATE, time=TIME, people=PEOPLE, name=_text(30)),
    _tool("cancel_booking", "Cancel a booking.", name=_text(30)),
    _tool("opening_hours", "Tell when we are open.", day=DATE),
    _tool("order_status", "Tell where an order is.", number={"type": "integer", "minimum": 1, "maximum": 99999}),
    _tool("take_message", "Write down a message for the owner.", name=_text(30), message=_text(80)),
    _tool("hand_off", "Put the caller through to a human.", target={"type": "string", "enum": ["kitchen", "manager"]}),
    _tool("price", "Tell what a dish costs.", dish=_text(30)),
    _tool("send_directions", "Send the way to us by text message.", phone=_text(16)),
)
SYSTEM = "You answer the phone of the restaurant Olive Tree. Be brief and friendly. Today is Tuesday, 2026-11-24."

WISHES = (
    ("book_table", "I would like to reserve a table for four on Friday at seven, my name is Weber."),
    ("book_table", "Can we come for dinner tomorrow evening at eight? There are two of us, it's for Lopez."),
    ("book_table", "Please put me down for the first of December at noon, six people, name of Grant."),
    ("cancel_booking", "I have to cancel, the table was booked under Hoffmann."),
    ("cancel_booking", "We can't make it tonight after all, please delete our reservation, it's Chen."),
    ("cancel_booking", "Could you call off the table for Miller?"),
    ("opening_hours", "Are you open on Sunday?"),
    ("opening_hours", "What time do you close tonight?"),
    ("opening_hours", "When can I come by on Wednesday?"),
    ("order_status", "Where is my order? The number is 4711."),
    ("order_status", "I'm still waiting for delivery number 305, how long will it take?"),
    ("order_status", "Has order 12 left yet?"),
    ("take_message", "Please tell the owner that Peter called and the invoice is paid."),
    ("take_message", "Can you write down that the flowers come at ten? This is Rosa."),
    ("take_message", "I want to leave a message, my name is Tom, she should call me back."),
    ("hand_off", "Let me talk to a real person."),
    ("hand_off", "Put me through to the manager, please."),
    ("hand_off", "I want to speak with somebody in the kitchen."),
    ("price", "How much is the lasagne?"),
    ("price", "What do you charge for a pizza margherita?"),
    ("price", "Is the steak expensive? What does it cost?"),
    ("send_directions", "Can you text me how to get to you? My number is 555 0142."),
    ("send_directions", "I don't know the way, please send it to my phone, 555 0199."),
    ("send_directions", "Send the route to 555 0123."),
)
SMALL_TALK = ("Hello there!", "Thank you very much.", "Good evening.", "Can you hear me?", "How are you?", "Okay.")


@dataclass(frozen=True)
class Answer:
    """`first_ms`: to the first piece of text, or to the whole call if it is one. `wanted` "" is: say something."""

    wish: str
    wanted: str
    picked: str
    arguments: str
    first_ms: float


async def _ask(session: LlmSession, wish: str, wanted: str, tools: tuple[ToolSpec, ...]) -> Answer:
    messages = (ChatMessage("system", SYSTEM), ChatMessage("user", wish))
    began = time.monotonic()
    pieces = session.generate(messages, max_tokens=TOKENS, deadline=began, give_up=began + GIVE_UP_S, tools=tools)
    first, picked, arguments = 0.0, "", ""
    try:
        async with aclosing(pieces) as stream:  # type: ignore[type-var]
            async for piece in stream:
                first = first or (time.monotonic() - began) * 1000
                if isinstance(piece, ToolCall):
                    picked, arguments = piece.tool, piece.arguments
    except EngineError as error:
        picked = f"error: {error.cause}"
    return Answer(wish, wanted, picked, arguments, first)


async def _all(options: dict[str, Any]) -> tuple[list[Answer], list[float]]:
    engine = ENGINE.create({"nice": 0, **options})
    await engine.start()
    try:
        if not await engine.host.worker.wait_ready(GIVE_UP_S):
            raise click.ClickException("the model's worker does not come up: run `voicebridge doctor`")
        with_tools, without = engine.session(agent="pick", tools=TOOLS), engine.session(agent="plain")
        system = (ChatMessage("system", SYSTEM),)
        await with_tools.warm(system)
        await without.warm(system)
        wishes = [*WISHES, *(("", wish) for wish in SMALL_TALK)]
        answers, plain = [], []
        for wanted, wish in wishes:  # by turns: whatever else the machine does hits both alike
            answers.append(await _ask(with_tools, wish, wanted, TOOLS))
            plain.append((await _ask(without, wish, "", ())).first_ms)
        return answers, plain
    finally:
        await engine.stop()


def _summary(answers: list[Answer], plain: list[float]) -> dict[str, Any]:
    right = sum(one.picked == one.wanted for one in answers if one.wanted)
    said = sum(not one.picked for one in answers if not one.wanted)
    return {
        "right_tool": f"{right} of {len(WISHES)}",
        "small_talk_answered": f"{said} of {len(SMALL_TALK)}",
        "broken": sum(one.picked.startswith("error") for one in answers),
        "first_word_ms_without_tools": spread(plain),
        "first_word_ms_with_tools": spread([one.first_ms for one in answers if not one.picked]),
        "whole_call_ms": spread([one.first_ms for one in answers if one.arguments]),
    }


@click.command()
@click.option("--model", default="", help="A GGUF file or a name of the catalogue; the default model if empty.")
@click.option("--json", "as_json", is_flag=True)
def main(model: str, as_json: bool) -> None:
    """Count how often a local model picks the right tool."""
    answers, plain = asyncio.run(_all({"model": model} if model else {}))
    told = _summary(answers, plain)
    if as_json:
        click.echo(json.dumps({**told, "answers": [asdict(one) for one in answers], **machine()}))
        return
    table = Table("wish", "wanted", "picked", "arguments", "ms", title=" ".join(machine().values()))
    for one in answers:
        style = "" if one.picked == one.wanted else "red"
        table.add_row(one.wish, one.wanted or "-", one.picked or "-", one.arguments, f"{one.first_ms:.0f}", style=style)
    console = Console()
    console.print(table)
    for name, value in told.items():
        console.print(f"{name}: {value}")


if __name__ == "__main__":
    main()
