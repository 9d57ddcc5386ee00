"""Targets: what may stand in the configuration, and so in a dialplan; mistakes named with file, line and cure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from voicebridge.config import ConfigError, load
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.conversation.form import Form
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.protocol.variables import FORBIDDEN
from voicebridge.targets import KINDS, HandoffSettings, Target, is_safe, named_by, target_problems


@pytest.mark.parametrize(
    ("given_", "kind", "dest", "dial"),
    [
        ({"queue": "sales"}, "queue", "sales", ""),
        ({"extension": "200"}, "extension", "200@default", "Local/200@default"),
        ({"extension": "200", "context": "internal"}, "extension", "200@internal", "Local/200@internal"),
        ({"extension": "*97", "context": "from-internal"}, "extension", "*97@from-internal", "Local/*97@from-internal"),
        ({"context": "ivr"}, "context", "ivr,s,1", ""),
        ({"context": "ivr", "extension": "7", "priority": "menu"}, "context", "ivr,7,menu", ""),
        ({"sip": "sip:anna@pbx.example:5060"}, "sip", "sip:anna@pbx.example:5060", ""),
        ({"endpoint": "PJSIP/1001"}, "endpoint", "PJSIP/1001", "PJSIP/1001"),
        ({"endpoint": "PJSIP/+4930123@trunk"}, "endpoint", "PJSIP/+4930123@trunk", "PJSIP/+4930123@trunk"),
    ],
)
def test_a_target_is_one_place(given_, kind, dest, dial):
    target = Target(**given_)
    assert (target.kind, target.dest, target.dial) == (kind, dest, dial)


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({}, "exactly one of"),
        ({"queue": "a", "sip": "sip:a@b"}, "there is queue and sip"),
        ({"queue": "a", "context": "b"}, "there is queue and extension or context"),
        ({"extension": "1", "priority": "2"}, "priority: only with a context"),
        ({"queue": "a", "strategy": "warm"}, "needs an endpoint or an extension"),
        ({"sip": "sip:a@b", "strategy": "warm"}, "needs an endpoint or an extension"),
        ({"queue": "a", "strategy": "cold"}, "'blind', 'announced' or 'warm'"),
        ({"queue": "a", "hours": "weekdays"}, "hours: 'weekdays'"),
        ({"queue": "a", "closed": ["soon"]}, "hours: 'soon'"),
        ({"queue": "a", "timezone": "Mars/Olympus"}, "no time zone"),
        ({"queue": "a", "ring_s": 0}, "greater than or equal to 3"),
        ({"queue": "a", "announce": "one\ntwo"}, "one line"),
        ({"queue": "a", "number": "0900"}, "not permitted"),
        ({"sip": "sip:a@b;transport=tcp"}, "without parameters"),
        ({"sip": "tel:+4930123"}, "sip:user@host"),
        ({"endpoint": "1001"}, "a dial string such as"),
        ({"endpoint": "PJSIP/1001&PJSIP/1002"}, "a dial string such as"),
        ({"context": "ivr", "priority": "1,s"}, "a number or a label"),
    ],
)
def test_what_is_no_target_says_why(given_, says):
    with pytest.raises(ValidationError, match=re.escape(says)):
        Target(**given_)


HOSTILE = "${}[]()\"\\,;&|\n\r\t\x00 '`<>%=!^~/.."
NASTY = st.text(alphabet=st.one_of(st.characters(), st.sampled_from(HOSTILE)), min_size=1)


@given(st.sampled_from((*KINDS, "priority", "name")), NASTY, NASTY)
def test_whatever_is_let_through_cannot_leave_its_place_in_a_dialplan(kind, before, after):
    for value in (before, f"ok{before}", f"PJSIP/{before}", f"sip:{before}@{after}", f"{before}{after}"):
        if is_safe(kind, value):
            assert value.isascii()
            assert value.isprintable()
            assert not set(value) & (FORBIDDEN | set(" '`|&()<>=!?%^~"))


@given(st.sampled_from(("queue", "extension", "context", "sip", "endpoint")), st.text(min_size=1, max_size=30))
def test_a_target_of_any_text_is_refused_or_its_very_text(kind, text):
    try:
        target = Target(**{kind: text})
    except ValidationError:
        return
    assert is_safe(kind, text)
    assert text in target.dest


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,80}", fullmatch=True))
def test_a_plain_queue_name_is_allowed(name):
    assert is_safe("queue", name) is name.isascii()


def test_unicode_digits_are_no_digits():
    assert not is_safe("extension", "１２３")
    assert not is_safe("extension", "٣٤")
    assert not is_safe("priority", "²")


# ---- between targets


def test_a_next_that_is_none_and_circles_are_found_once_each():
    targets = {
        "a": Target(queue="a", next="b"),
        "b": Target(queue="b", next="c"),
        "c": Target(queue="c", next="a"),
        "d": Target(queue="d", next="a"),  # leads into the circle, is none of it
        "e": Target(queue="e", next="e"),
        "f": Target(queue="f", next="nobody"),
        "g": Target(queue="g"),
    }
    found = {where: what for where, what in target_problems(targets)}
    assert set(found) == {("targets", name, "next") for name in "aef"}
    assert "a -> b -> c -> a" in found["targets", "a", "next"]
    assert "e -> e" in found["targets", "e", "next"]
    assert "none of the targets: a, b, c" in found["targets", "f", "next"]


@pytest.mark.parametrize("name", ["../x", "0900 1", "a b", "", "${EXTEN}", "-x", "x" * 41, "sales\n"])
def test_a_name_that_is_unsafe_is_a_problem(name):
    ((where, what),) = target_problems({name: Target(queue="q")})
    assert where == ("targets", name)
    assert "not allowed as a name" in what


def test_an_agent_names_targets_in_five_places():
    agent = AgentSpec(
        "desk", "Hello.", targets=("sales", "support"), human="reception",
        rules=(Rule("boss", target="director"), Rule("hours")),
        forms=(Form("order", "book", give_up="orders"), Form("other", "book")),
        toolbox=(
            ToolSpec("book", "", "{}", alternative="handoff bookings"),
            ToolSpec("look", "", "{}", alternative="tool take_message"),
        ),
    )
    named = dict(named_by(agent))
    assert set(named.values()) == {"sales", "support", "reception", "director", "orders", "bookings"}
    assert named["rules", 0, "target"] == "director"
    assert list(named_by(AgentSpec("plain", "Hello."))) == []


# ---- in files


def config(tmp_path, text: str, agent: str = ""):
    file = tmp_path / "voicebridge.toml"
    file.write_text(text)
    if agent:
        (tmp_path / "agents").mkdir()
        (tmp_path / "agents" / "desk.toml").write_text(agent)
    return file


def test_targets_are_read_from_the_configuration(tmp_path):
    file = config(
        tmp_path,
        '[targets.sales]\nqueue = "sales"\nhours = "mon-fri 09:00-17:00"\nnext = "voicemail"\n'
        '[targets.voicemail]\nextension = "*98"\ncontext = "internal"\nstrategy = "blind"\n'
        '[handoff]\nwebhook = "https://crm.example/calls"\n',
        'greeting = "Hello."\ntargets = ["sales"]\nhuman = "voicemail"\n',
    )
    settings = load(file)
    assert settings.config.targets["sales"].next == "voicemail"
    assert settings.config.targets["voicemail"].dest == "*98@internal"
    assert settings.config.handoff.webhook == "https://crm.example/calls"
    assert settings.agents["desk"].human == "voicemail"


@pytest.mark.parametrize(
    ("text", "agent", "says"),
    [
        ('[targets.sales]\nqueue = "a;b"\n', "", r"voicebridge.toml:2: targets.sales.queue: .*not allowed"),
        ("[targets.sales]\nring_s = 5\n", "", r"voicebridge.toml:1: targets.sales: .*exactly one"),
        ('[targets.sales]\nqueue = "a"\nnext = "b"\n', "", r"voicebridge.toml:3: targets.sales.next: 'b' is none"),
        ('[targets.a]\nqueue = "a"\nnext = "a"\n', "", r"voicebridge.toml:3: targets.a.next: goes round"),
        ('[targets."a b"]\nqueue = "a"\n', "", r"voicebridge.toml.*'a b' is not allowed as a name"),
        ('[handoff]\nwebhook = "crm.example"\n', "", r"voicebridge.toml:\d: handoff: .*is no address"),
        ('[targets.a]\nqueue = "a"\n', 'greeting = "Hi."\nhuman = "b"\n', r"desk.toml:2: human: 'b' is none of .*: a"),
        ("", 'greeting = "Hi."\ntargets = ["b"]\n', r"desk.toml:2: targets: 'b' is none of .*: none is configured"),
    ],
    ids=["charset", "nothing", "next", "circle", "name", "webhook", "agent_human", "agent_targets"],
)
def test_a_mistake_names_its_place(tmp_path, text, agent, says):
    with pytest.raises(ConfigError, match=says):
        load(config(tmp_path, text, agent))


@pytest.mark.parametrize("url", ["ftp://x/y", "http://", "/path", "http://x/\n", "javascript:alert(1)"])
def test_a_webhook_is_an_http_address(url):
    with pytest.raises(ValidationError, match="no address"):
        HandoffSettings(webhook=url)
