"""Endpointing by words: how often a sentence cut short looks complete, and how often a whole one looks open.

    python -m bench.endpointing [--json] [--show]

Over every sentence that the exams and the errands hold (written by somebody who had not seen the tables), whole and
cut behind each of its words but the last. A cut sentence is judged twice: without a mark, as it would come from a
recogniser that writes none, and with the mark of the whole sentence, which is the worst that one could write. The bench
cannot tell where a caller would really pause: people pause at the ends of phrases more than behind articles.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from bench.calls import BENCH
from voicebridge.conversation.endpointing import looks_open, takes_leave, whole_question

SOURCES = ("exam/questions.toml", "exam/model_questions.toml", "exam2/questions.toml", "errands/calls.toml")


@dataclass(frozen=True)
class Rates:
    """Shares of sentences: of cut ones that look `open`, `question` or `leave`; of whole ones likewise."""

    judged: int
    open: float
    question: float
    leave: float


def sentences() -> list[str]:
    """Every sentence that a caller of the exams says, once."""
    found = [text for source in SOURCES for text in _texts(tomllib.loads((BENCH / source).read_text()))]
    return list(dict.fromkeys(text.strip() for text in found if " " in text.strip()))


def _texts(data: object, key: str = "") -> Iterator[str]:
    said = ("text", "opening", "yes", "no", "change", "work", "day", "time", "name", "phone", "number")
    if isinstance(data, dict):
        for name, value in data.items():
            if name not in ("expect", "must", "must_not"):
                yield from _texts(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value, key)
    elif isinstance(data, str) and key in said:
        yield data


def cuts(text: str, mark: str) -> Iterator[str]:
    parts = text.split()
    for length in range(1, len(parts)):
        if not parts[length - 1].endswith((".", "?", "!")):  # two sentences: the first is complete
            yield " ".join(parts[:length]).rstrip(",;:") + mark


def rates(texts: list[str]) -> Rates:
    count = len(texts) or 1
    return Rates(
        len(texts),
        sum(looks_open(text) for text in texts) / count,
        sum(whole_question(text) for text in texts) / count,
        sum(takes_leave(text) for text in texts) / count,
    )


def examine() -> dict[str, Rates]:
    whole = sentences()
    return {
        "whole, as written": rates(whole),
        "whole, no mark": rates([text.rstrip(".?!") for text in whole]),
        "cut, no mark": rates([cut for text in whole for cut in cuts(text, "")]),
        "cut, the whole one's mark": rates([cut for text in whole for cut in cuts(text, text[-1])]),
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--show", is_flag=True, help="List the whole sentences that look open, and why not.")
def main(as_json: bool, show: bool) -> None:
    """How often words mislead the endpoint."""
    found = examine()
    if as_json:
        click.echo(json.dumps({name: asdict(value) for name, value in found.items()}, indent=2))
        return
    table = Table("sentences", "judged", "look open", "whole question", "takes leave")
    for name, value in found.items():
        table.add_row(name, str(value.judged), f"{value.open:.1%}", f"{value.question:.1%}", f"{value.leave:.1%}")
    console = Console()
    console.print(table)
    if show:
        for text in sentences():
            if looks_open(text.rstrip(".?!")):
                console.print(("open " if looks_open(text) else "open without its mark ") + text)


if __name__ == "__main__":
    main()
