"""Configuration: what is not there has sound defaults; what is wrong is named by file, line and key."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest

from voicebridge import config
from voicebridge.config import ConfigError, cache_dir, is_loopback, load, load_agent, split_address, state_dir

RULE = '[[rules]]\nname = "a"\nexamples = ["x"]\nsay = ["y"]\n'


@pytest.fixture
def place(tmp_path):
    (tmp_path / "agents").mkdir()
    return tmp_path


def written(place: Path, text: str = "", **agents: str) -> Path:
    path = place / "voicebridge.toml"
    path.write_text(text)
    for name, content in agents.items():
        (place / "agents" / f"{name}.toml").write_text(content)
    return path


def test_no_configuration_at_all_runs_the_embedded_profile_on_loopback(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "ETC", tmp_path)
    settings = load()
    assert settings.source == "embedded profile"
    assert settings.config.listen.audiosocket == "127.0.0.1:9092"
    assert all(network.is_loopback for network in settings.config.listen.allow)
    assert settings.default_agent.name == "demo"
    assert not settings.config.store.record_audio and not settings.config.store.event_log


def test_the_file_in_etc_is_used_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "ETC", tmp_path)
    path = written(tmp_path, "[store]\nkeep_days = 3\n")
    assert load().source == str(path)
    assert load().config.store.keep_days == 3


def test_agents_beside_the_file_come_to_the_embedded_ones_and_beat_them(place):
    path = written(place, 'default_agent = "desk"', desk='greeting = "Hi."', demo='greeting = "My own demo."')
    settings = load(path)
    assert settings.default_agent.greeting == "Hi."
    assert settings.default_agent.name == "desk"
    assert settings.agents["demo"].greeting == "My own demo."
    assert "open" in settings.agents


def test_the_agents_folder_may_stand_elsewhere(place):
    other = place / "more"
    other.mkdir()
    (other / "desk.toml").write_text('greeting = "Hi."')
    assert "desk" in load(written(place, 'agents_dir = "more"')).agents
    assert "desk" in load(written(place, f'agents_dir = "{other}"')).agents


@pytest.mark.parametrize(
    ("text", "place_and_key", "why"),
    [
        ("\nlisten_on = 1", "2: listen_on", "there is no such key"),
        ("[listen]\n# a comment\naudiosocket = 'localhost'", "3: listen.audiosocket", "write host:port"),
        ("[listen]\naudiosocket = '127.0.0.1:99999'", "2: listen.audiosocket", "is not an address"),
        ("[listen]\nallow = ['10.0.0.1/8']", "2: listen.allow", "host bits"),
        ("[listen]\nallow = ['the office']", "2: listen.allow", "does not appear to be"),
        ("[listen]\nhandshake_s = 0", "2: listen.handshake_s", "greater than 0"),
        ("[engines]\nstt = 'vosk'\n\n[listen]\nmax_calls = 'many'", "5: listen.max_calls", "valid integer"),
        ("listen.max_calls = 0", "1: listen.max_calls", "greater than or equal to 1"),
        ("\nlisten = { max_calls = 0 }", "2: listen.max_calls", "greater than or equal to 1"),
        ("[engines]\ntsst = 'espeak'", "2: engines.tsst", "there is no such key"),
        ("[engines.options]\nmoonshine = 3", "2: engines.options.moonshine", "valid dictionary"),
        ("[store]\nkeep_days = -1", "2: store.keep_days", "greater than or equal to 0"),
        ("[store]\n\nrecord_audio = 'perhaps'", "3: store.record_audio", "valid boolean"),
        ("[engines]\n[store]\nkeep_days = 1\n[store2]\nx = 1", "4: store2", "there is no such key"),
        ("default_agent = 'nobody'", "1: default_agent", "none of the agents: demo, open"),
        ("\nagents_dir = 'gone'", "2: agents_dir", "there is no folder"),
        ("[listen]\naudiosocket = '0.0.0.0:9092'", "2: listen.audiosocket", "reachable from outside"),
        ("[listen]\nfastagi = '4573'", "2: listen.fastagi", "write host:port"),
        ("[listen]\nmax_calls = 3\nfastagi = '0.0.0.0:4573'", "3: listen.fastagi", "reachable from outside"),
        ("[listen]\nadvertise = '192.0.2.1:9092'", "2: listen.advertise", "without a port"),
        ("[listen]\nadvertise = 'a, b'", "2: listen.advertise", "is not a host"),
        ("a = 1\nb = [", "", "is not TOML"),
        ("a = 1\nb = = 2\nc = 3", "2: is not TOML", "Invalid value"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(place, text, place_and_key, why):
    path = written(place, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{place_and_key}")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place_and_key", "why"),
    [
        ('name = "a"', " greeting", "is missing"),
        ('greting = "Hi."\ngreeting = "Hi."', "1: greting", "there is no such key"),
        ('greeting = "Hi."\nmodel_scope = "wide"', "2: model_scope", "'open', 'smalltalk' or 'none'"),
        ('greeting = "Hi."\n\n[limits]\nendpoint_s = "soon"', "4: limits.endpoint_s", "valid number"),
        ('greeting = "Hi."\n\n[limits]\nendpoint_s = -0.3', "4: limits.endpoint_s", "not above 0"),
        ('greeting = "Hi."\n[limits]\ncall_s = nan', "3: limits.call_s", "not above 0"),
        ('greeting = "Hi."\n[limits]\nendpoint = 1', "3: limits.endpoint", "there is no such key"),
        ('greeting = "Hi."\n[lines]\nfillers = "Hm."', "3: lines.fillers", "valid tuple"),
        ('greeting = "Hi."\nspeed = 0', "2: speed", "between"),
        (f'greeting = "Hi."\n{RULE}[[rules]]\nname = "b"\nsay = "y"', "8: rules.say", "valid tuple"),
        (f'greeting = "Hi."\n{RULE}[[rules]]\nname = "b"\naction = "dance"', "8: rules.action", "'say', 'model'"),
        (f'greeting = "Hi."\n{RULE}{RULE}', "7: rules.name", "two rules are called 'a'"),
        ('greeting = "Hi."\n[limits]\npartial_every_s = 1e-9', "3: limits.partial_every_s", "one frame"),
        ('greeting = "Hi."\n[lines]\nunknown = []', "3: lines.unknown", "nothing would be said"),
        ('greeting = "Hi."\n[lines]\nfillers = ["Hm.", " "]', "3: lines.fillers", "nothing would be said"),
        ('greeting = "Hi."\n[lines]\ndone = ""', "3: lines.done", "nothing would be said"),
        ('greeting = " "', "1: greeting", "speak first"),
        (f'greeting = "{"word " * 500}"', "1: 'word", "at most 2000"),
        ('greeting = "Hi."\n[[rules]]\nname = "a"\nsay = ["x"]\ndtmf = "12"', "5: rules.dtmf", "not one of the keys"),
        ('greeting = "Hi."\n[[rules]]\nname = "a"\nsay = [""]\ndtmf = "1"', "3: rules", "an empty text"),
        ('greeting = "Hi."\ntools = ["hang_up"]\n[[rules]]\nname = "a"\naction = "tool"\ntool = "hang_up"\ndtmf = "1"',
         "6: rules.tool", "end_call"),
        (f'greeting = "Hi."\n{RULE}[[rules]]\nname = "b"\nsay = ["y"]', "7: rules.examples", "nothing leads to it"),
        (f'greeting = "Hi."\n{RULE}[[rules]]\nname = "b"\nexamples = ["y"]', "7: rules.say", "nothing to say"),
    ],
)
def test_a_mistake_in_an_agent_is_named_by_file_line_and_key(place, text, place_and_key, why):
    path = written(place, desk=text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{place}/agents/desk.toml:{place_and_key}")
    assert why in str(caught.value)


def test_all_mistakes_are_told_at_once(place):
    with pytest.raises(ConfigError) as caught:
        load(written(place, "[listen]\nhandshake_s = 0\nmax_calls = 0\n[store]\nkeep = 1"))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "listen.handshake_s", "listen.max_calls", "store.keep",
    ]


def test_a_file_that_cannot_be_read_is_named(place):
    with pytest.raises(ConfigError, match="none.toml: cannot be read: No such file"):
        load(place / "none.toml")
    (place / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"latin.toml: is not UTF-8 \(byte 11\)"):
        load(place / "latin.toml")


@pytest.mark.parametrize("address", ["0.0.0.0:9092", "192.0.2.1:9092", "[::]:9092", "pbx.example.org:9092", ":9092"])
def test_listening_beyond_loopback_needs_an_allow_list_of_the_owner_s_own(place, address):
    with pytest.raises(ConfigError):
        load(written(place, f'[listen]\naudiosocket = "{address}"'))
    if address != ":9092":
        allowed = load(written(place, f'[listen]\naudiosocket = "{address}"\nallow = ["192.0.2.10/32"]'))
        assert allowed.config.listen.allow == (ipaddress.ip_network("192.0.2.10/32"),)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:9092", "[::1]:9092", "localhost:0"])
def test_loopback_needs_none(place, address):
    assert load(written(place, f'[listen]\naudiosocket = "{address}"')).config.listen.audiosocket == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("127.0.0.1", 4573)),
        ("[listen]\naudiosocket = '[::1]:9999'", ("::1", 4573)),
        ("[listen]\naudiosocket = '127.0.0.1:0'", ("127.0.0.1", 0)),
        ("[listen]\nfastagi = '127.0.0.1:0'", ("127.0.0.1", 0)),
        ("[listen]\nfastagi = 'localhost:4574'", ("localhost", 4574)),
        ("[listen]\nfastagi = ''", None),
        ("[listen]\nfastagi = '192.0.2.1:4573'\nallow = ['192.0.2.10/32']\nadvertise = 'voice.example'",
         ("192.0.2.1", 4573)),
    ],
)
def test_fastagi_goes_where_audiosocket_goes_unless_told_otherwise(place, text, address):
    assert load(written(place, text)).config.listen.fastagi_address == address


def test_addresses_are_split():
    assert split_address("127.0.0.1:9092") == ("127.0.0.1", 9092)
    assert split_address("[::1]:80") == ("::1", 80)
    for bad in ("", "host", "host:", ":1", "host:x", "host:65536", "host:-1"):
        with pytest.raises(ValueError, match=re.escape(repr(bad))):
            split_address(bad)


def test_loopback_is_told_from_the_rest():
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.0.2.1", "localhost.example.org", ""))


def test_folders_follow_the_environment(monkeypatch):
    for name in ("STATE_DIRECTORY", "VOICEBRIDGE_STATE", "VOICEBRIDGE_CACHE", "CACHE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/x/state")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x/cache")
    assert (state_dir(), cache_dir()) == (Path("/x/state/voicebridge"), Path("/x/cache/voicebridge"))
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_dir() == Path.home() / ".local/state/voicebridge"
    monkeypatch.setenv("VOICEBRIDGE_STATE", "/own")
    monkeypatch.setenv("VOICEBRIDGE_CACHE", "/own/cache")
    assert (state_dir(), cache_dir()) == (Path("/own"), Path("/own/cache"))
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/voicebridge")
    assert state_dir() == Path("/var/lib/voicebridge")


def test_the_store_is_where_the_environment_says_when_the_configuration_is_read(place, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(place / "s"))
    assert load(written(place)).config.store.dir == place / "s"


def test_an_agent_s_name_is_its_file_s_unless_it_says_otherwise(place):
    (place / "one.toml").write_text('greeting = "Hi."')
    (place / "two.toml").write_text('name = "second"\ngreeting = "Hi."')
    assert (load_agent(place / "one.toml").name, load_agent(place / "two.toml").name) == ("one", "second")


FORM = '''greeting = "Hi."
tools = ["book"]
[[rules]]
name = "book"
examples = ["book"]
action = "form"
form = "{form}"
[[forms]]
name = "booking"
tool = "{tool}"
confirm = "{confirm}"
[[forms.slots]]
name = "day"
kind = "{kind}"
ask = [{ask}]
[[forms.slots]]
name = "pin"
kind = "digits"
ask = ["Your PIN?"]
secret = true
'''
GOOD = {"form": "booking", "tool": "book", "confirm": "On {day}?", "kind": "date", "ask": '"Which day?"'}


def form_file(place: Path, **changes: str) -> Path:
    (place / "desk.toml").write_text(FORM.format(**{**GOOD, **changes}))
    return place / "desk.toml"


def test_forms_and_the_rules_that_open_them_are_read(place):
    agent = load_agent(form_file(place))
    assert [slot.name for slot in agent.forms[0].slots] == ["day", "pin"]
    assert agent.form(agent.rules[0].form) is agent.forms[0]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"form": "none"}, "desk.toml:7: rules.form: 'none' is none of the agent's forms: booking"),
        ({"tool": "cook"}, "desk.toml:10: forms.tool: 'cook' is not in the agent's tools: book"),
        ({"confirm": "On {date}?"}, "desk.toml:11: forms.confirm: no slot is called date"),
        ({"confirm": "{day}, {pin}?"}, "slot 'pin' of form 'booking' is secret and would be said aloud"),
        ({"kind": "choice"}, "slot 'day' of form 'booking' is a choice without choices"),
        ({"ask": ""}, "slot 'day' of form 'booking' has no question"),
        ({"kind": "colour"}, "forms.slots.kind"),
        ({"ask": '" "'}, "slot 'day' of form 'booking' has an empty question"),
        ({"kind": 'digits"\nleast = 4\nmost = 3\nopens = "'}, "can never be answered: least = 4 is above most = 3"),
        ({"kind": 'time"\nopens = "9'}, "has opens = '9': write HH:MM"),
        ({"kind": 'digits"\nterminator = "1'}, "has terminator = '1'"),
    ],
    ids=["form", "tool", "confirm", "secret", "choice", "ask", "kind", "blank", "bounds", "hours", "terminator"],
)
def test_what_a_form_lacks_is_told_with_its_place(place, changes, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load_agent(form_file(place, **changes))


def test_an_agent_may_extend_another(place):
    (place / "base.toml").write_text(
        'greeting = "Hi."\ninstructions = "Be brief."\nfacts = ["One."]\n[limits]\nno_input_s = 9\ncall_s = 60\n'
        '[[rules]]\nname = "a"\nsay = ["A."]\nexamples = ["a"]\n[[rules]]\nname = "b"\nsay = ["B."]\nexamples = ["b"]\n'
    )
    (place / "shop.toml").write_text(
        'extends = "base"\ngreeting = "Hello."\nfacts = ["Two."]\n[limits]\ncall_s = 99\n'
        '[[rules]]\nname = "b"\nsay = ["Mine."]\nexamples = ["b"]\n'
    )
    agent = load_agent(place / "shop.toml")
    assert (agent.name, agent.greeting, agent.instructions) == ("shop", "Hello.", "Be brief.")
    assert agent.facts == ("Two.", "One.")
    assert (agent.limits.no_input_s, agent.limits.call_s) == (9, 99)
    assert [(rule.name, rule.say) for rule in agent.rules] == [("b", ("Mine.",)), ("a", ("A.",))]
    changed = 'extends = "base"\ngreeting = "Hi."\n[[rules]]\nname = "a"\nsay = ["Changed."]\n'
    (place / "shop.toml").write_text(changed)
    first = load_agent(place / "shop.toml").rules[0]
    assert (first.name, first.say, first.examples) == ("a", ("Changed.",), ("a",)), "what it does not say stands"


def test_an_example_that_an_agent_gives_to_its_own_rule_is_taken_from_what_it_extends(place):
    (place / "base.toml").write_text(
        'greeting = "Hi."\n[[rules]]\nname = "unknown"\naction = "unknown"\nexamples = ["is it ready", "do you rent"]\n'
        '[[rules]]\nname = "key"\nsay = ["Nine."]\ndtmf = "9"\n'
    )
    (place / "shop.toml").write_text(
        'extends = "base"\n[[rules]]\nname = "ready"\nsay = ["Yes."]\nexamples = ["is it ready", "is it done"]\n'
    )
    examples = {rule.name: rule.examples for rule in load_agent(place / "shop.toml").rules}
    assert examples == {"ready": ("is it ready", "is it done"), "unknown": ("do you rent",), "key": ()}


def test_an_agent_may_extend_an_embedded_one_but_not_one_that_is_not_there(place):
    (place / "shop.toml").write_text('extends = "demo"\ngreeting = "Hello."\n')
    assert len(load_agent(place / "shop.toml").rules) > 10
    for name in ("none", "../demo", "shop"):
        (place / "shop.toml").write_text(f'extends = "{name}"\ngreeting = "Hello."\n')
        with pytest.raises(ConfigError, match=r"shop.toml:1: extends: no agent"):
            load_agent(place / "shop.toml")


# ---- engines


def engines(place: Path, text: str) -> config.Engines:
    return load(written(place, text)).config.engines


def test_an_engine_is_named_alone_or_in_a_list(place):
    found = engines(place, '[engines]\nstt = "vosk"\ntts = ["piper", "espeak"]\nllm = ""\n')
    assert [choice.name for choice in found.chosen("stt")] == ["vosk"]
    assert [choice.plugin for choice in found.chosen("tts")] == ["piper", "espeak"]
    assert found.chosen("llm") == ()
    assert [choice.name for choice in found.chosen("embed")] == ["minilm"]
    assert found.deadlines


@pytest.mark.parametrize(
    ("kind", "address", "plugin", "options"),
    [
        ("stt", "tcp://10.0.0.5:10300", "wyoming", {"uri": "tcp://10.0.0.5:10300"}),
        ("tts", "unix:///run/tts.sock", "wyoming", {"uri": "unix:///run/tts.sock"}),
        ("llm", "http://10.0.0.5:8080/v1", "openai", {"urls": ["http://10.0.0.5:8080/v1"]}),
        ("llm", "https://models.example/v1", "openai", {"urls": ["https://models.example/v1"]}),
    ],
)
def test_from_a_local_engine_to_a_remote_one_it_is_one_line(place, kind, address, plugin, options):
    (choice,) = engines(place, f'[engines]\n{kind} = "{address}"\n').chosen(kind)
    assert (choice.name, choice.plugin, dict(choice.options)) == (address, plugin, options)


def test_an_address_takes_the_options_of_its_engine_and_its_own(place):
    text = '[engines]\nllm = "http://a:1"\n[engines.options.openai]\nmodel = "small"\ncontext = 4096\nurls = "http://b:1"\n'
    (choice,) = engines(place, text + '[engines.options."http://a:1"]\nmodel = "large"\n').chosen("llm")
    assert choice.options == {"model": "large", "context": 4096, "urls": ["http://a:1"]}


def test_an_alias_is_an_engine_again_with_other_options(place):
    text = '[engines]\nstt = ["vosk", "spare"]\n[engines.options.vosk]\nmodel = "a"\n'
    first, spare = engines(place, text + '[engines.options.spare]\nengine = "vosk"\nmodel = "b"\n').chosen("stt")
    assert (first.name, first.plugin, first.options["model"]) == ("vosk", "vosk", "a")
    assert (spare.name, spare.plugin, dict(spare.options)) == ("spare", "vosk", {"model": "b"})


@pytest.mark.parametrize(
    ("text", "place_and_key", "why"),
    [
        ("[engines]\nstt = []", "2: engines.stt", "needs one"),
        ('[engines]\ntts = ""', "2: engines.tts", "needs one"),
        ('[engines]\ntts = 3', "2: engines.tts", "valid tuple"),
        ('[engines]\nstt = ["vosk", "vosk"]', "2: engines.stt", "stands twice"),
        ('[engines]\nstt = ["vosk", " "]', "2: engines.stt", "empty name"),
        ('[engines]\nstt = "http://10.0.0.5:8080"', "2: engines.stt", "write tcp://HOST:PORT"),
        ('[engines]\nstt = "tcp://10.0.0.5"', "2: engines.stt", "write tcp://HOST:PORT"),
        ('[engines]\nstt = "tcp://10.0.0.5:99999"', "2: engines.stt", "write tcp://HOST:PORT"),
        ('[engines]\nllm = "tcp://10.0.0.5:10300"', "2: engines.llm", "write http://HOST:PORT/v1"),
        ('[engines]\nllm = "http://me:secret@10.0.0.5/v1"', "2: engines.llm", "no password"),
        ('[engines]\nembed = "tcp://10.0.0.5:1"', "2: engines.embed", "on this machine"),
        ('[engines]\nturn = "tcp://10.0.0.5:1"', "2: engines.turn", "turns are judged on this machine"),
        ('[engines]\ndeadlines = "some"', "2: engines.deadlines", "valid boolean"),
        ('[engines]\n[engines.options.spare]\nengine = 3', "2: engines.options.spare", "not the name of an engine"),
        ('[engines]\n[engines.options.spare]\nengine = "tcp://a:1"', "2: engines.options.spare", "not the name"),
    ],
)
def test_a_mistake_in_the_engines_is_named_by_file_line_and_key(place, text, place_and_key, why):
    path = written(place, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{place_and_key}")
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)
