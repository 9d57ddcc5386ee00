"""Which extensions lead to an agent, read from what Asterisk prints of its dialplan."""

from __future__ import annotations

import pytest

from voicebridge.cli.checks import asterisk, dialplan

SHOWN = """\
[ Context 'internal' created by 'pbx_config' ]
  '100' =>          1. Gosub(voicebridge,s,1(desk))                 [extensions.conf:10]
                    2. Hangup()                                     [extensions.conf:11]
  '200' =>          1. Dial(PJSIP/200)                              [extensions.conf:12]

[ Context 'voicebridge' created by 'pbx_config' ]
  's' =>            1. AGI(agi://${VB_FASTAGI}/attach)              [voicebridge.conf:60]
  '_X.' =>          1. Goto(voicebridge,s,1)                        [voicebridge.conf:70]
"""


def test_who_leads_to_an_agent_is_named_and_our_own_contexts_do_not_count():
    found = asterisk.led(SHOWN)
    assert (found.state, found.found) == ("ok", "100@internal lead to an agent")


@pytest.mark.parametrize(
    "step", ["Goto(voicebridge-agent,desk,1)", "Stasis(voicebridge,desk)", "GosubIf($[1]?voicebridge,s,1(desk))"]
)
def test_every_way_in_is_known(step):
    shown = f"[ Context 'in' created by 'pbx_config' ]\n  '7' =>            1. {step}      [extensions.conf:1]\n"
    assert asterisk.led(shown).found == "7@in lead to an agent"


def test_a_dialplan_that_leads_nowhere_is_told_with_the_cure():
    nowhere = SHOWN.replace("Gosub(voicebridge,s,1(desk))", "Playback(tt-monkeys)")
    found = asterisk.led(nowhere)
    assert (found.state, "Gosub(voicebridge" in found.cure) == ("warn", True)


@pytest.mark.parametrize(
    ("text", "state"),
    [("Asterisk 22.10.1 built by", "ok"), ("Asterisk 20.4.0 built by", "warn"), ("Asterisk 16.2.0 built", "fail")],
)
def test_versions_that_were_not_tried_are_warned_of(text, state):
    assert dialplan.version(text).state == state


async def test_without_an_asterisk_nothing_is_asked(monkeypatch, tmp_path):
    from voicebridge.config import Config, Settings, Store

    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = Settings(config=Config(store=Store(dir=tmp_path)), agents={}, source="none")
    (found,) = asterisk.check(wanted, None, lambda text: None, audio=False)
    assert found.state == "skip"
    (found,) = asterisk.check(wanted, "no-such-asterisk", lambda text: None, audio=False)
    assert (found.state, "not installed" in found.found) == ("fail", True)
