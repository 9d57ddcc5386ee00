"""Make the tests' tiny models again, and measure them.

    python -m tests.models.recipe vosk --out DIR
    python -m tests.models.recipe piper --out DIR
    python -m tests.models.recipe measure --models DIR

What it needs is in ../README.md. No test runs this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import click
import torch
from rich.console import Console
from rich.progress import track

from tests.models.recipe import acoustic, corpus, graph, measure, sums, voice, voice_frames, voice_net, vosk_model
from tests.models.recipe.speaker import Speaker

VOSK, PIPER = "vosk-tiny-en", "piper-tiny-en"
SEED = 1
LISTENED, READ = 4_000, 3_600
HERE = Path(__file__).parents[1]

THREADS_HELP = "With one the same machine learns the same each time; two halve the time if both cores are free."

T = TypeVar("T")
console = Console(stderr=True)
out_option = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The folder to write the model's folder into."
)


seed_option = click.option("--seed", default=SEED, show_default=True, help="Of all that is left to chance.")


threads_option = click.option("--threads", default=1, show_default=True, help=THREADS_HELP)


def shown(items: Iterable[T], doing: str, total: int) -> Iterator[T]:
    return iter(track(items, doing, total, console=console))


@click.group(help=__doc__)
def main() -> None: ...


@main.command("vosk")
@out_option
@seed_option
@threads_option
@click.option("--sentences", default=LISTENED, show_default=True, help="Each is heard on two lines.")
@click.option("--epochs", default=acoustic.EPOCHS, show_default=True)
def make_vosk(out: Path, seed: int, threads: int, sentences: int, epochs: int) -> None:
    """Train the recogniser and write DIR/vosk-tiny-en."""
    torch.set_num_threads(threads)
    heard = corpus.training(Speaker(), sentences, seed)
    try:
        learnt = acoustic.lesson(list(shown(heard, "espeak speaks", corpus.LINES_EACH * sentences)))
    except acoustic.TooLittle as error:
        raise click.UsageError(str(error)) from error
    console.print(f"{len(learnt.utterances)} utterances, {len(learnt.sounds)} sounds, {len(learnt.lexicon)} words")
    trained = acoustic.train(learnt, seed, epochs, console.print)
    vosk_model.build(out / VOSK, trained, graph.bigrams(seed))
    sums.write(out)
    console.print(f"{out / VOSK} is written")


@main.command("piper")
@out_option
@seed_option
@threads_option
@click.option("--sentences", default=READ, show_default=True, help="At least those of sentences.txt are read.")
@click.option("--epochs", default=voice_net.EPOCHS, show_default=True)
def make_piper(out: Path, seed: int, threads: int, sentences: int, epochs: int) -> None:
    """Train the voice and write DIR/piper-tiny-en."""
    torch.set_num_threads(threads)
    texts = voice_frames.texts(sentences, seed)
    learnt = list(voice_frames.examples(Speaker(), list(shown(texts, "espeak reads", len(texts)))))
    console.print(f"{len(learnt)} texts")
    net = voice_net.train(learnt, seed, epochs, console.print)
    voice.build(out / PIPER, net, {int(number) for example in learnt for number in example.ids})
    sums.write(out)
    console.print(f"{out / PIPER} is written")


@main.command("measure")
@click.option("--models", default=HERE, type=click.Path(path_type=Path, exists=True), help="Where both models are.")
@click.option("--json", "as_json", is_flag=True)
def show_measures(models: Path, as_json: bool) -> None:
    """Word error rates: voices held back from training, and the loop from the one model to the other."""
    scores = {
        "held-back voices": measure.held_back(models / VOSK, babble=False),
        "the same, some with another voice behind": measure.held_back(models / VOSK, babble=True),
        "piper -> mu-law -> vosk": measure.loop(models / VOSK, models / PIPER),
    }
    if as_json:
        click.echo(json.dumps({name: asdict(score) | {"rate": score.rate} for name, score in scores.items()}))
        return
    for name, score in scores.items():
        click.echo(f"{name}: {score.rate:.1%} of {score.words} words in {score.sentences} sentences are wrong")
        for example in score.examples:
            click.echo(f"    {example}")


if __name__ == "__main__":
    main(prog_name="python -m tests.models.recipe")
