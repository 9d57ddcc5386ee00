"""What the comparison of language models talks about: a bakery's prompt, what was said before, and questions."""

from __future__ import annotations

from voicebridge.engines.base import Message

SYSTEM = Message(
    "system",
    "You answer the phone of a bakery. Be brief and friendly. Facts:\n"
    + "\n".join(
        f"- {what} costs {price} pounds and is baked at {hour} in the morning."
        for what, price, hour in (
            ("A loaf of rye bread", 4, "five"), ("A loaf of wheat bread", 3, "five"), ("A baguette", 2, "six"),
            ("A croissant", 2, "six"), ("A cheese roll", 3, "seven"), ("An apple pie", 14, "four"),
            ("A plum cake", 16, "four"), ("A dozen rolls", 5, "six"), ("A chocolate cake", 22, "three"),
            ("A wedding cake", 180, "two"), ("A cinnamon bun", 3, "seven"), ("A loaf of spelt bread", 5, "five"),
            ("A loaf without gluten", 6, "three"), ("A pretzel", 1, "six"), ("A lemon tart", 12, "four"),
            ("A raisin loaf", 6, "five"), ("A poppy seed roll", 2, "six"), ("A cherry cake", 17, "four"),
            ("A ham sandwich", 5, "seven"), ("A birthday cake", 30, "three"), ("A nut loaf", 7, "five"),
            ("A vanilla slice", 4, "six"), ("A pear tart", 13, "four"), ("A corn loaf", 5, "five"),
            ("A bag of biscuits", 8, "eight"),
        )
    ),
)  # fmt: skip
SAID = (
    ("Good morning, are you open today?", "Good morning! Yes, we are open until six in the evening today."),
    ("And do you deliver to the other side of the river?", "We do, from twenty pounds on, between ten and four."),
)
QUESTIONS = (
    "How much would I pay for two loaves of rye bread and a baguette?",
    "When do I have to be there for a croissant that is still warm?",
    "Could you put an apple pie aside for my mother until five o'clock?",
    "What do you have for somebody who must not eat any gluten at all?",
    "Is there anything left of the plum cake that you had on Saturday?",
    "How long before the party do I have to order a chocolate cake?",
    "Would you please tell me what a dozen rolls and a pretzel cost?",
    "Which of your breads keeps longest if I buy it on a Friday?",
)


def talk(call: int, question: str) -> list[Message]:
    """Some 600 tokens; what the calls have said differs."""
    history = [Message("user", f"This is caller {call}. {SAID[0][0]}"), Message("assistant", SAID[0][1])]
    history += [Message("user", SAID[1][0]), Message("assistant", SAID[1][1])]
    return [SYSTEM, *history, Message("user", question)]


def half(question: str) -> str:
    """What has been recognised of it when the model begins to read along."""
    words = question.split()
    return " ".join(words[: 2 * len(words) // 3])
