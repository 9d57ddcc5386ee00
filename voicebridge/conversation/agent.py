"""An agent as the core knows it: who it is, what it says by itself, and how long it waits for what.

All times are seconds. Nothing here reads files: `voicebridge.config` makes these from TOML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from voicebridge.conversation.form import Form
from voicebridge.conversation.toolspec import ToolSpec

ModelScope = Literal["open", "smalltalk", "none"]
STRICT = {"extra": "forbid"}
"""For whoever validates input into these classes: an unknown key is an error, not a typo to be ignored."""

RuleAction = Literal["say", "model", "unknown", "end_call", "fallback", "handoff", "tool", "form"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Example sentences (or a key) bound to something that needs no model.

    `say` holds one or more wordings of the answer; they take turns. What `action` does:
    `say` speaks one of them; `model` lets the language model answer (small talk); `unknown` admits, in the agent's own
    words, that it does not know (examples of what callers ask and nothing answers keep such questions from being
    mistaken for a neighbour); `end_call` speaks and hangs up; `fallback` speaks and leaves the call to the PBX's
    fallback; `handoff` hands the caller to `target` (a target's name; "" is the agent's `human`); `tool` runs `tool`
    with `arguments` and says what came of it; `form` asks for what the form's tool needs. What these speak first is
    optional.
    """

    __pydantic_config__ = STRICT

    name: str
    examples: tuple[str, ...] = ()
    say: tuple[str, ...] = ()
    action: RuleAction = "say"
    dtmf: str = ""
    target: str = ""
    form: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    """What is said when the tool worked, with `{field}` of its result; empty speaks the result's own words."""
    leads_to: str = ""
    """A rule that is offered (by its `offer`) behind this one's words: a price, and "Would you like to book?" """
    offer: str = ""
    """Asked where it is only perhaps what the caller wants (form, tool, handoff): "Would you like to book a table?" """


@dataclass(frozen=True, slots=True)
class Lines:
    """What the agent says without a model. Each is rendered to disk when the daemon starts.

    `perhaps` goes before a rule's answer where the caller may have meant something else; an empty one gives `unknown`
    instead of a perhaps.
    """

    __pydantic_config__ = STRICT

    fillers: tuple[str, ...] = ("One moment.", "Let me see.", "Just a second.")
    no_input: tuple[str, ...] = ("Are you still there?", "I can't hear you. Are you still there?")
    no_input_end: str = "I can't hear you, so I will hang up now. Please call again. Goodbye."
    unknown: tuple[str, ...] = ("I'm sorry, I don't know that.",)
    perhaps: str = "I don't know exactly, but perhaps this helps."
    trouble: str = "I'm sorry, I have a technical problem. Please stay on the line."
    too_long: str = "I'm sorry, I have to end our call now. Thank you for calling. Goodbye."
    still: tuple[str, ...] = (
        "I'm still on it, thank you for your patience.",
        "This takes a little longer than usual, please stay on the line.",
        "I haven't forgotten you, it is still working.",
    )
    """Fillers for a wait that goes on."""
    tool_failed: tuple[str, ...] = ("I'm sorry, that did not work just now.",)
    anything_else: str = "Is there anything else I can do for you?"
    connecting: str = "One moment, I will put you through."
    nobody_there: str = "I'm sorry, nobody is available there at the moment."
    returned: str = "I'm sorry, I could not reach anybody."
    hold: tuple[str, ...] = ("I am trying to reach somebody for you.", "Please stay on the line, it is still ringing.")
    """Said now and then while a human is being called."""
    offer: str = "Press one to take the call, or two to decline it."
    """Said to the human who is called, behind what there is to know of the caller."""
    give_up: str = "I'm sorry, I did not get that. I will put you through to a colleague."
    repeat: tuple[str, ...] = ("Sorry, I did not get that.",)
    yes_or_no: str = "Please say yes or no."
    go_ahead: str = "Shall I go ahead?"
    """Asked before a consequential tool that has no question of its own."""
    done: str = "That's done."
    go_on: str = "Yes, go on."
    """Said when only the first digits or letters came."""
    what_instead: str = "What should I change?"
    all_right: str = "All right."
    """Said when an offer is declined."""
    record_announce: str = "This call is recorded."
    record_ask: str = "May we record this call to improve our service?"
    """Asked where `recording_consent` is "ask"; answered by yes or no."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Turn-taking and its time limits.

    `speculate_s` after the caller's last voiced sample the recogniser is asked and an answer prepared; it is
    played when `endpoint_s` have passed without speech (`endpoint_unsure_s` when no rule is sure to be meant: he may
    not have come to the point yet; `endpoint_open_s` when the words so far cannot be the end of a sentence;
    `endpoint_complete_s` when he is surely done: a whole question that a rule answers, a goodbye, all the digits).
    Where the sound is judged, too, and it is less probable than `turn_open_below` that he has finished, the endpoint is
    `endpoint_open_s` whatever the words. A
    caller who goes on within `go_on_s` of an answer's beginning had not finished: what he said before belongs to it.
    Where digits or letters were asked for, the endpoint is `endpoint_spelled_s`.
    A caller who waits for a human hears a line every `hold_every_s`, and is given up to the fallback after `ring_s`.
    A running tool is covered by a filler after `tool_cover_s` of silence; one that has told nothing for `tool_s` is
    given up (its runner has deadlines of its own). Keys are complete `key_gap_s` after the last and `keys_s` after the
    first. After so many `misunderstandings` in a row the caller goes to a human. `tool_steps`: so many tools a
    turn the model may run.
    """

    __pydantic_config__ = STRICT

    speculate_s: float = 0.06
    endpoint_complete_s: float = 0.20
    endpoint_s: float = 0.30
    endpoint_unsure_s: float = 0.60
    endpoint_open_s: float = 0.90
    turn_open_below: float = 0.3
    go_on_s: float = 1.5
    partial_first_s: float = 0.9
    partial_every_s: float = 0.9
    barge_in_confirm_s: float = 0.35
    barge_in_give_up_s: float = 1.1
    cover_first_s: float = 1.1
    cover_every_s: float = 2.5
    answer_s: float = 5.0
    tool_cover_s: float = 0.7
    tool_s: float = 30.0
    endpoint_spelled_s: float = 1.1
    hold_every_s: float = 8.0
    ring_s: float = 120.0
    key_gap_s: float = 3.0
    keys_s: float = 15.0
    misunderstandings: int = 3
    tool_steps: int = 4
    no_input_s: float = 7.0
    no_input_limit: int = 2
    call_s: float = 600.0
    answer_tokens: int = 60


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """`facts` stand in the model's prompt. `synonyms` are groups of words of the trade that mean the same, for matching
    rules: the first of a group stands for the others. `model_scope`: what the language model may answer: everything
    that no rule does, small talk (rules with the action `model`), or nothing.

    `tools` is the allow-list of tool names, `tool_settings` what each of them is told for this agent; `toolbox` are the
    tools found (the daemon fills it). `targets` are the names of where callers may be sent; `human` is the one for "a
    human, please", the key 0 and giving up ("" is the PBX's fallback). `fallback_form`: what is tried before a caller
    is given up to the fallback, such as taking a message. `call_facts` vary with the call; they stand behind what all
    calls share. `phrases` are all that callers say, where that is a closed list: for a recogniser that takes a grammar.
    `disclosure` is said before the greeting: "You are speaking with an automated assistant." `recording_consent`: where
    calls are recorded, whether callers are told ("announce") or asked ("ask": recorded only from a yes on).
    `echo_guard` "auto": once our own voice is found to come back (a speakerphone), it is nobody's; "off": never.
    """

    __pydantic_config__ = STRICT

    name: str
    greeting: str
    instructions: str = ""
    facts: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    model_scope: ModelScope = "open"
    language: str = "en"
    voice: str = ""
    speed: float = 1.0
    forms: tuple[Form, ...] = ()
    tools: tuple[str, ...] = ()
    tool_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    toolbox: tuple[ToolSpec, ...] = ()
    targets: tuple[str, ...] = ()
    human: str = ""
    fallback_form: str = ""
    call_facts: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    echo_guard: Literal["auto", "off"] = "auto"
    disclosure: str = ""
    recording_consent: Literal["none", "announce", "ask"] = "none"
    lines: Lines = field(default_factory=Lines)
    limits: Limits = field(default_factory=Limits)

    def rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.name == name), None)

    def form(self, name: str) -> Form | None:
        return next((form for form in self.forms if form.name == name), None)

    def tool(self, name: str) -> ToolSpec | None:
        return next((tool for tool in self.toolbox if tool.name == name), None)

    def system_prompt(self) -> str:
        """What never varies stands first, so that every call of the agent shares the model's cache of it."""
        parts = [self.instructions.strip()]
        if self.facts:
            parts.append("Facts:\n" + "\n".join(f"- {fact}" for fact in self.facts))
        return "\n\n".join(part for part in parts if part)

    def call_prompt(self) -> str:
        """The system prompt with what is true of this call alone, behind what all calls share."""
        if not self.call_facts:
            return self.system_prompt()
        facts = "This call:\n" + "\n".join(f"- {fact}" for fact in self.call_facts)
        return f"{self.system_prompt()}\n\n{facts}".strip()

    def fixed_lines(self) -> tuple[str, ...]:
        """Every text the agent can say without a model, for rendering ahead."""
        said = [self.disclosure, self.greeting, *self.lines.fillers, *self.lines.no_input, self.lines.no_input_end]
        lines = self.lines
        said += [*lines.unknown, lines.perhaps, lines.trouble, lines.too_long, *lines.still, *lines.tool_failed]
        said += [lines.anything_else, lines.connecting, lines.nobody_there, lines.returned, *lines.hold]
        said += [lines.offer, lines.give_up]
        said += [*lines.repeat, lines.yes_or_no, lines.what_instead, lines.all_right, lines.go_ahead, lines.done]
        said += [lines.go_on]
        said += {"announce": [lines.record_announce], "ask": [lines.record_ask]}.get(self.recording_consent, [])
        for rule in self.rules:
            said += [*rule.say, rule.offer]
        for form in self.forms:
            said += [form.cancelled, *(text for slot in form.slots for text in (*slot.ask, *slot.again))]
        for tool in self.toolbox:
            said += [*tool.fillers, tool.failed]
        return tuple(dict.fromkeys(text for text in said if text))
