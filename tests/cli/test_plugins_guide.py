"""The examples of plugins/README.md, installed as they stand there and used."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "plugins" / "README.md"
MODULES = ("vb_harbour_tool", "vb_harbour_fallback", "vb_harbour_hook", "vb_harbour_engine")

USE = """
import asyncio, json, sys, time, tomllib
from pathlib import Path
from voicebridge import plugins
from voicebridge.engines.base import EngineError, Voice
from voicebridge.tools.catalogue import equip, load_tools
from voicebridge.tools.context import CallInfo
from voicebridge.tools.runner import ToolRunner
from voicebridge.conversation.agent import AgentSpec
from voicebridge.config import Config, Settings, Store
from voicebridge.hooks.catalogue import runners
from voicebridge.trace.bus import Bus

async def main(folder, url):
    shelf = load_tools({"next_ferry": {"url": url}}, {})
    agent = equip(AgentSpec("desk", "Hi.", tools=("next_ferry",), fallback_form="lost_property"), shelf)
    call = CallInfo.of(agent, "11111111-2222-3333-4444-555555555555")
    runner = ToolRunner(shelf.tools.values(), folder=folder, settings=shelf.settings)
    ferry = await runner.run(call, 1, "next_ferry", '{"harbour":"north"}')
    none = await runner.run(call, 2, "next_ferry", '{"harbour":"south"}')
    lost = await runner.run(call, 3, "note_lost_thing", '{"thing":"a hat","phone":"5550142"}')
    await runner.close()
    write = "import sys,wave; w=wave.open(sys.stdout.buffer,'wb'); w.setparams((1,2,16000,0,'NONE','')); "
    write += "w.writeframesraw(bytes(2*16000)); w.close()"
    spoken = {}
    slow = "import time; time.sleep(30)"
    for name, code, limit in (("good", write, 20), ("bad", "print('no sound')", 20), ("slow", slow, 1)):
        voice = plugins.load("tts", "program").create({"command": [sys.executable, "-c", code]})
        try:
            now = time.monotonic()
            speech = await voice.synthesize("Hello there.", voice=Voice(), deadline=now, give_up=now + limit)
            spoken[name] = [len(speech.pcm), speech.rate, len(speech.marks)]
        except EngineError as error:
            spoken[name] = error.cause
    config = Config(store=Store(dir=folder), events={"log_book": {"file": "calls.txt"}})
    (hook,) = runners(Settings(config=config, agents={}, source="none")).values()
    bus = Bus()
    hook.start(bus)
    record = {"call_id": "c1", "agent": "desk", "outcome": "hangup", "seconds": 12.3}
    bus.publish({"event": "call_ended", "call_id": "c1", "at": 1.0, "record": record})
    await hook.stop()
    asked = [slot.name for slot in agent.form("lost_property").slots]
    book = (folder / "events" / "log_book" / "calls.txt").read_text()
    return {"book": book, "ferry": ferry.say, "none": [none.ok, none.say], "lost": lost.ok, "spoken": spoken,
            "noted": (folder / "lost.txt").read_text(), "form": asked}

print(json.dumps(asyncio.run(main(Path(sys.argv[2]), sys.argv[3]))))
"""
SERVER = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"departures": ["14:20"] if "from=north" in self.path else []}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The package as `pip install --target` would leave it."""
    folder = tmp_path_factory.mktemp("site")
    config = configparser.ConfigParser()
    config.read_string(blocks("ini")[0])
    info = folder / "vb_harbour-0.1.0.dist-info"
    info.mkdir()
    name, version = config["metadata"]["name"], config["metadata"]["version"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = config["options.entry_points"]
    (info / "entry_points.txt").write_text("\n".join(f"[{group}]{points[group]}" for group in points))
    for name, code in zip(MODULES, blocks("python"), strict=True):
        assert code.startswith(f'"""{name}.py"""')
        (folder / f"{name}.py").write_text(code)
    assert config["options"]["py_modules"] == ", ".join(MODULES)
    return folder


def run(code: str, *arguments: str, site: Path) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.append({str(site)!r})\n"
    return subprocess.run([sys.executable, "-c", path + code, *arguments], capture_output=True, text=True, timeout=90)


def test_the_guide_s_package_is_accepted_whole(site):
    done = run("from voicebridge.cli.main import main; main()", "plugins", "ls", "--json", site=site)
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if row["package"] == "vb-harbour"]
    assert [(row["kind"], row["name"], row["state"], row["gives"]) for row in rows] == [
        ("tts", "program", "ok", []), ("tools", "next_ferry", "ok", ["next_ferry"]),
        ("fallbacks", "lost_property", "ok", ["lost_property", "note_lost_thing"]), ("events", "log_book", "unset", []),
    ]  # fmt: skip


def test_the_guide_s_examples_do_what_it_says(site, tmp_path):
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/ferries"
        began = time.monotonic()
        done = run(USE, "", str(tmp_path), url, site=site)
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ferry"] == "The next one leaves at 14:20."
    assert told["none"] == [False, "I'm sorry, no ferry leaves from the south harbour today."]
    assert told["lost"]
    assert told["book"] == "c1 desk hangup 12 s\n"
    assert told["noted"].endswith(" 5550142 a hat\n")
    assert told["form"] == ["thing", "phone"]
    assert told["spoken"] == {"good": [32000, 16000, 2], "bad": "garbage", "slow": "timeout"}
    assert time.monotonic() - began < 60
