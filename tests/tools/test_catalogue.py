"""Which tools there are and what an agent gets of them; strangers are real distributions on sys.path."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from voicebridge.config import Config, ConfigError, Settings
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.conversation.form import Form, Slot
from voicebridge.plugins import OURS
from voicebridge.tools.catalogue import CORE_TOOLS, equip, equipped, load_tools, tools_for

STRANGER = """
    from datetime import date
    from pydantic import BaseModel
    from voicebridge.conversation.form import Form, Slot
    from voicebridge.tools import Fallback, SetupError, Tool, tool

    class Settings(BaseModel, extra="forbid"):
        room: str = ""

    @tool(settings=Settings, consequential=True, confirm="On {day}?", alternative="form message", failed="No luck.")
    async def book(day: date, people: int = 2) -> None:
        "Book a table."

    class Box:
        def create(self, settings):
            if "names" not in settings:
                raise SetupError("names is missing")
            async def look() -> None: ...
            return [Tool.of(look, [], name=name) for name in settings["names"]]

    class Callback:
        def create(self, settings):
            async def call_back(phone: str) -> None: ...
            made = tool(call_back)
            return Fallback(Form("ring_back", "call_back", (Slot("phone", "phone", ("Your number?",)),)), [made])

    class Wrong:
        def create(self, settings):
            return settings.get("gives", ["no tool"])

    BOX, CALLBACK, WRONG, NUMBER = Box(), Callback(), Wrong(), 3
"""


def install(folder: Path, package: str, module: str, text: str, points: str) -> None:
    """A distribution as pip leaves it."""
    info = folder / f"{module}-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(points))
    (folder / f"{module}.py").write_text(textwrap.dedent(text))


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    install(tmp_path, "vb-tables", "vb_tables", STRANGER, """
        [voicebridge.tools]
        book = vb_tables:book
        box = vb_tables:BOX
        [voicebridge.fallbacks]
        ring_back = vb_tables:CALLBACK
        """)  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("vb_")]:
        del sys.modules[name]


def agent(**options: Any) -> AgentSpec:
    return AgentSpec("desk", "Hello.", **options)


def why(shelf, name: str) -> str:
    (entry,) = [entry for entry in shelf.entries if entry.plugin.name == name and entry.plugin.refused]
    return entry.plugin.refused


# ---- what there is


def test_ours_and_strangers_stand_on_one_shelf(stranger):
    shelf = load_tools({"box": {"names": ["look_a", "look_b"]}}, {})
    assert {"take_message", "opening_hours", "remember_fact", "lookup_facts", "book", "look_a"} <= set(shelf.tools)
    assert (shelf.owners["take_message"], shelf.owners["look_b"]) == (OURS, "vb-tables")
    assert {"take_message", "ring_back"} <= set(shelf.fallbacks)
    assert "call_back" in shelf.tools
    assert shelf.refused == []
    (entry,) = [entry for entry in shelf.entries if entry.plugin.name == "box"]
    assert (entry.plugin.package, entry.plugin.version, entry.gives) == ("vb-tables", "2.1", ("look_a", "look_b"))


def test_a_toolbox_without_settings_is_no_fault(stranger):
    shelf = load_tools({}, {})
    (entry,) = [entry for entry in shelf.entries if entry.plugin.name == "box"]
    assert entry.unset
    assert "names is missing" in entry.plugin.refused
    assert shelf.refused == []


def test_settings_of_a_plug_in_that_is_not_installed_are_an_error(stranger):
    with pytest.raises(ConfigError, match=r"\[tools.bok\].*there are: .*book"):
        load_tools({"bok": {}}, {})
    with pytest.raises(ConfigError, match=r"\[fallbacks.bok\].*there are: .*ring_back"):
        load_tools({}, {"bok": {}})


BROKEN = {
    "no import": ("import vb_not_there", "X", "No module named 'vb_not_there'"),
    "no such name": ("", "X", "has no attribute 'X'"),
    "syntax": ("def (", "X", "SyntaxError"),
    "raises": ("1 / 0", "X", "ZeroDivisionError"),
    "exits": ("import sys; sys.exit(3)", "X", "SystemExit"),
    "a bad tool": ("from voicebridge.tools import tool\n@tool\ndef bad(x): ...", "bad", "bad.*'x'.*no type hint"),
    "no plug-in": ("X = 3", "X", "it is a int; a plug-in for tools is what a Tool or has create"),
    "gives no tools": ("class B:\n def create(self, s): return ['x']\nX = B()", "X", "a str where a Tool belongs"),
    "gives nothing": ("class B:\n def create(self, s): pass\nX = B()", "X", "TypeError"),
    "create raises": ("class B:\n def create(self, s): 1 / 0\nX = B()", "X", "ZeroDivisionError"),
    "a name of ours": (
        "from voicebridge.tools import tool\n@tool\nasync def hang_up() -> None: ...", "hang_up", "voicebridge's own",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plug_in_is_refused_by_name_and_the_others_load(stranger, fault):
    text, name, reason = BROKEN[fault]
    install(stranger, "vb-broken", "vb_broken", text, f"[voicebridge.tools]\nbroken = vb_broken:{name}\n")
    shelf = load_tools({}, {})
    assert [entry.plugin.name for entry in shelf.refused] == ["broken"]
    assert "vb-broken" in why(shelf, "broken")
    assert re.search(reason, why(shelf, "broken")), why(shelf, "broken")
    assert {"take_message", "book"} <= set(shelf.tools)


@pytest.mark.parametrize("name", ["take_message", "book"])
def test_a_name_that_is_taken_is_refused_with_both_packages(stranger, name):
    text = f"from voicebridge.tools import tool\n@tool(name='{name}')\nasync def mine() -> None: ..."
    install(stranger, "vb-zoo", "vb_zoo", text, "[voicebridge.tools]\nmine = vb_zoo:mine\n")
    shelf = load_tools({}, {})
    owner = OURS if name == "take_message" else "vb-tables"
    assert "vb-zoo" in why(shelf, "mine") and owner in why(shelf, "mine")
    assert shelf.owners[name] == owner


def test_two_plug_ins_of_one_name_are_told_with_both_packages(stranger):
    text = "from voicebridge.tools import tool\n@tool\nasync def other() -> None: ..."
    install(stranger, "vb-zoo", "vb_zoo", text, "[voicebridge.tools]\nbook = vb_zoo:other\n")
    shelf = load_tools({}, {})
    assert "vb-tables" in why(shelf, "book") and "vb-zoo" in why(shelf, "book")
    assert "other" not in shelf.tools
    assert shelf.owners["book"] == "vb-tables"


def test_a_toolbox_gives_all_its_tools_or_none(stranger):
    shelf = load_tools({"box": {"names": ["fresh", "book"]}}, {})
    assert "fresh" not in shelf.tools
    assert "vb-tables" in why(shelf, "box")
    shelf = load_tools({"box": {"names": ["twice", "twice"]}}, {})
    assert "twice" in why(shelf, "box")


def test_a_fallback_has_to_be_one(stranger):
    install(stranger, "vb-zoo", "vb_zoo", "class B:\n def create(self, s): return 3\nX = B()",
            "[voicebridge.fallbacks]\nzoo = vb_zoo:X\n")  # fmt: skip
    assert "not a Fallback" in why(load_tools({}, {}), "zoo")


# ---- what an agent gets


def test_an_agent_gets_what_it_lists_and_nothing_else(stranger):
    shelf = load_tools({}, {})
    specs = tools_for(agent(tools=("book", "hang_up", "take_message")), shelf)
    assert [spec.name for spec in specs] == ["book", "take_message"]
    assert tools_for(agent(), shelf) == ()
    assert {"hang_up", "hand_off", "send_dtmf"} == CORE_TOOLS


def test_an_unknown_tool_is_an_error_that_names_the_known_and_the_refused(stranger):
    install(stranger, "vb-broken", "vb_broken", "import vb_gone", "[voicebridge.tools]\nbroken = vb_broken:X\n")
    shelf = load_tools({}, {})
    with pytest.raises(ConfigError, match=r"agent desk: tools: .*'bok'; .*book.*hang_up.*vb-broken.*vb_gone"):
        tools_for(agent(tools=("bok",)), shelf)


def test_an_agent_may_say_it_in_its_own_words(stranger):
    words = {"confirm": "Am {day}?", "fillers": ["Moment."], "failed": "Leider nicht.", "alternative": "handoff desk"}
    shelf = load_tools({"book": {"failed": "No.", "room": "blue"}}, {})
    (spec,) = equip(agent(tools=("book",), tool_settings={"book": words}, targets=("desk",)), shelf).toolbox
    assert (spec.confirm, spec.fillers, spec.failed, spec.alternative) == (
        "Am {day}?", ("Moment.",), "Leider nicht.", "handoff desk",
    )  # fmt: skip
    (spec,) = equip(agent(tools=("book",)), shelf).toolbox
    assert (spec.confirm, spec.failed) == ("On {day}?", "No.")
    assert shelf.settings["book"]["room"] == "blue"


@pytest.mark.parametrize(
    ("options", "alternative"),
    [
        ({}, ""),
        ({"forms": (Form("message", "hang_up"),)}, "form message"),
        ({"tool_settings": {"book": {"alternative": "tool take_message"}}}, ""),
        ({"tool_settings": {"book": {"alternative": "tool book"}}}, "tool book"),
        ({"tool_settings": {"book": {"alternative": "handoff sales"}}, "human": "sales"}, "handoff sales"),
    ],
    ids=["form not there", "form there", "tool not there", "tool there", "human"],
)
def test_an_alternative_that_the_agent_has_not_got_is_left_out(stranger, options, alternative):
    (spec,) = equip(agent(tools=("book",), **options), load_tools({}, {})).toolbox
    assert spec.alternative == alternative


def booking(**options: Any) -> Form:
    slots = (Slot("day", "date", ("When?",)), Slot("people", "number", optional=True))
    return Form("booking", "book", slots, **options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tool_settings": {"book": {"rom": "blue"}}}, r"tool_settings.book.rom"),
        ({"tool_settings": {"book": {"fillers": "One moment."}}}, r"tool_settings.book.fillers: .*list"),
        ({"tool_settings": {"book": {"failed": 3}}}, r"tool_settings.book.failed: .*text"),
        ({"tool_settings": {"book": {"confirm": "{when}?"}}}, r"confirm: \{when\} is not among"),
        ({"tool_settings": {"book": {"alternative": "call 0900"}}}, r"alternative"),
        ({"tool_settings": {"boook": {}}}, r"tool_settings.boook: .*its tools: book"),
        ({"rules": (Rule("r", ("x",), action="tool", tool="else"),)}, r"rules.r: 'else' is not among"),
        ({"rules": (Rule("r", ("x",), action="tool", tool="book"),)}, r"rules.r.arguments do not fit book: day"),
        ({"forms": (Form("f", "else"),)}, r"forms.f: its tool 'else'"),
        ({"forms": (Form("f", "book", (Slot("date", "date"),)),)}, r"takes no 'date'; it takes: day, people"),
        ({"forms": (Form("f", "book", (Slot("people", "number"),)),)}, r"needs 'day', and no slot"),
        ({"forms": (Form("f", "book", (Slot("day", "date", optional=True),)),)}, r"needs 'day', and no slot"),
        ({"fallback_form": "nothing"}, r"fallback_form: 'nothing'.*there are: .*ring_back"),
    ],
)
def test_what_does_not_fit_is_told_at_the_start(stranger, options, problem):
    with pytest.raises(ConfigError, match=f"(?s)agent desk: .*{problem}"):
        equip(agent(tools=("book",), **options), load_tools({}, {}))


def test_what_fits_is_not(stranger):
    rule = Rule("r", ("x",), action="tool", tool="book", arguments={"day": "2026-12-01"})
    end = Rule("e", ("y",), action="tool", tool="hang_up")
    fixed = Form("fixed", "book", fixed=(("day", "2026-12-01"),))
    made = equip(agent(tools=("book",), rules=(rule, end), forms=(booking(), fixed)), load_tools({}, {}))
    assert [spec.name for spec in made.toolbox] == ["book"]


def test_a_fallback_brings_its_form_and_its_tools(stranger):
    made = equip(agent(fallback_form="ring_back", tools=("book",)), load_tools({}, {}))
    assert [form.name for form in made.forms] == ["ring_back"]
    assert [spec.name for spec in made.toolbox] == ["book", "call_back"]
    ours = equip(agent(fallback_form="take_message"), load_tools({}, {"take_message": {"ask_name": "Name?"}}))
    assert [spec.name for spec in ours.toolbox] == ["take_message"]
    assert ours.forms[0].slots[0].ask == ("Name?",)


def test_a_form_of_the_agent_s_own_beats_a_plug_in(stranger):
    mine = booking()
    made = equip(agent(fallback_form="booking", tools=("book",), forms=(mine,)), load_tools({}, {}))
    assert made.forms == (mine,)


def test_settings_of_tools_come_from_the_configuration_and_reach_every_agent(stranger):
    config = Config.model_validate({"tools": {"opening_hours": {"week": "24/7"}}, "default_agent": "desk"})
    settings = Settings(config=config, agents={"desk": agent(tools=("opening_hours",))}, source="test")
    made, shelf = equipped(settings)
    assert [spec.name for spec in made.default_agent.toolbox] == ["opening_hours"]
    assert json.loads(made.default_agent.toolbox[0].schema)["required"] == []
    assert shelf.settings["opening_hours"] == {"week": "24/7"}
    with pytest.raises(ConfigError, match=r"tool_settings.opening_hours.week: .*\[tools.opening_hours\]"):
        equipped(settings.model_copy(update={"config": Config(default_agent="desk")}))


def test_the_agents_that_are_shipped_get_their_tools():
    from voicebridge.config import load

    made, shelf = equipped(load())
    assert shelf.refused == []
    assert {"demo", "open"} <= set(made.agents)
