"""`voicebridge dialplan`: print, install, and check against an asterisk program that answers what a test wants."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from voicebridge.cli.checks import dialplan as checks
from voicebridge.cli.main import main
from voicebridge.config import Config, Listen, Settings, load
from voicebridge.pbx.asterisk.console import ConsoleError, by_program, parsed_access
from voicebridge.pbx.asterisk.shipped import extensions, files

VERSION = "Asterisk 22.10.1+dfsg built by nobody @ buildd.debian.org on a unknown running Linux on 2026-07-20 UTC"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["dialplan", *words])


class Pbx:
    """Answers as Asterisk 22's console does. `lacks`: names of modules, applications, functions and contexts."""

    def __init__(self, *lacks: str, edits: dict[str, str] | None = None, version: str = VERSION) -> None:
        self.lacks, self.edits, self.version = set(lacks), dict(edits or {}), version
        self.globals = ""

    def __call__(self, question: str) -> str:
        *verb, name = question.split()
        match verb:
            case ["core", "show"]:
                return self.version
            case ["module", "show", "like"]:
                row = f"{name}.so      Described      0      Running       core\n" if name not in self.lacks else ""
                return f"Module       Description     Use Count  Status\n{row}{bool(row):d} modules loaded\n"
            case ["core", "show", kind]:
                if name in self.lacks:
                    return f"No {kind} by that name registered.\n"
                return f"  -= Info about {kind.title()} '{name}' =- \n\n[Synopsis]\nSomething\n"
            case ["dialplan", "show"]:
                return self.globals if name == "globals" else self.context(name)
        raise AssertionError(question)

    def context(self, name: str) -> str:
        known = {context: made for text in files().values() for context, made in extensions(text).items()}
        if name in self.lacks or name not in known:
            return f"There is no existence of '{name}' context\n"
        lines = [f"[ Context '{name}' created by 'pbx_config' ]"]
        for exten, steps in known[name].items():
            for number, step in enumerate(steps, 1):
                head = f"  '{exten}' =>" if number == 1 else "     [label] " if number == 2 else ""
                lines.append(f"{head:<20}{number}. {self.edits.get(step, step):<45} [voicebridge.conf:{number}]")
        return "\n".join([*lines, "", "-= 1 extension (1 priority) in 1 context. =-", ""])


def found(pbx: Pbx, settings: Settings | None = None) -> dict[str, tuple[str, str]]:
    """Check -> (state, cure)."""
    made = settings or load(None)
    return {finding.check: (finding.state, finding.cure) for finding in checks.check(made, pbx)}


def at(**listen: object) -> Settings:
    settings = load(None)
    return settings.model_copy(update={"config": Config(listen=Listen(**listen))})


OFF = {"audiosocket": "127.0.0.1:0", "fastagi": "127.0.0.1:0"}


def test_an_asterisk_that_has_all_is_told_so():
    states = found(Pbx(), at(**OFF))
    wrong = {check: made for check, made in states.items() if made[0] not in ("ok", "skip")}
    assert set(wrong) == {"VB_FASTAGI"}  # a free port is never the one that the dialplan knows
    assert states["asterisk"][0] == states["[voicebridge]"][0] == states["TryExec()"][0] == "ok"


@pytest.mark.parametrize(
    ("lacks", "check", "state", "cure"),
    [
        ("res_agi", "res_agi.so", "fail", "module load res_agi.so"),
        ("app_audiosocket", "app_audiosocket.so", "fail", "load = app_audiosocket.so"),
        ("AudioSocket", "AudioSocket()", "fail", "app_audiosocket"),
        ("TryExec", "TryExec()", "fail", "app_exec"),
        ("STACK_PEEK", "STACK_PEEK()", "fail", "app_stack"),
        ("Queue", "Queue()", "warn", "app_queue"),
        ("CUT", "CUT()", "warn", "func_cut"),
        ("voicebridge", "[voicebridge]", "fail", "voicebridge dialplan install"),
        ("voicebridge-handoff", "[voicebridge-handoff]", "fail", "voicebridge dialplan install"),
    ],
)
def test_what_is_missing_is_named_with_its_cure(lacks: str, check: str, state: str, cure: str):
    states = found(Pbx(lacks), at(**OFF))
    assert states[check][0] == state
    assert cure in states[check][1]
    assert sum(made[0] == "fail" for made in states.values()) == (state == "fail")


def test_a_context_that_was_edited_is_named():
    states = found(Pbx(edits={"Answer()": "Answer(500)"}), at(**OFF))
    state, cure = states["[voicebridge]"]
    assert state == "fail" and "install" in cure
    assert states["[voicebridge-handoff]"][0] == "ok"


def test_the_files_that_nobody_needs_may_be_missing():
    states = found(Pbx("voicebridge-stasis", "voicebridge-warm"), at(**OFF))
    assert "[voicebridge-stasis]" not in states
    assert "fail" not in {state for state, _ in states.values()}


@pytest.mark.parametrize(
    ("version", "state"),
    [
        (VERSION, "ok"), ("Asterisk 18.26.4 built by x", "warn"), ("Asterisk certified/20.7-cert3 built by x", "warn"),
        ("Asterisk 16.28.0~dfsg built by x", "fail"), ("FreeSWITCH", "warn"),
    ],
)
def test_versions(version: str, state: str):
    assert checks.version(version).state == state


def test_an_asterisk_that_does_not_answer_is_one_finding():
    def silent(question: str) -> str:
        raise ConsoleError("asterisk is not installed here: name it with --asterisk, or ask over --ami")

    findings = list(checks.check(at(**OFF), silent))
    assert [finding.check for finding in findings] == ["asterisk", "fastagi", "audiosocket"]
    assert findings[0].state == "fail" and "--asterisk" in findings[0].cure


# ---- addresses


def test_a_dialplan_that_asks_elsewhere_is_told_of():
    pbx = Pbx()
    pbx.globals = "   VB_FASTAGI=192.0.2.1:9999\n    -- 1 variable(s)\n"
    assert found(pbx)["VB_FASTAGI"][0] == "warn"
    pbx.globals = "   VB_FASTAGI=192.0.2.1:4573\n    -- 1 variable(s)\n"
    assert found(pbx)["VB_FASTAGI"][0] == "ok"


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """A listener that says one thing to one caller and hangs up."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(200)
                link.sendall(reply)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize(
    ("reply", "state"),
    [(b'SET VARIABLE VB_PONG "voicebridge"\n', "ok"), (b"HTTP/1.1 400 Bad Request\r\n", "fail"), (b"", "warn")],
)
def test_who_answers_on_the_fastagi_port(reply: bytes, state: str):
    with answering(reply) as port:
        assert checks.fastagi(at(audiosocket="127.0.0.1:0", fastagi=f"127.0.0.1:{port}")).state == state


def test_nobody_on_the_ports_is_a_failure_with_its_cure():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = at(audiosocket=f"127.0.0.1:{port}", fastagi=f"127.0.0.1:{port}")
    assert checks.fastagi(settings).state == "fail"
    (finding,) = checks.audiosocket(settings)
    assert (finding.state, "voicebridge run" in finding.cure) == ("fail", True)
    assert checks.fastagi(at(fastagi="")).state == "fail"


# ---- asking


def program(folder: Path, text: str) -> str:
    """A command that runs Python, with `-rx QUESTION` as its last arguments."""
    script = folder / "asterisk.py"
    script.write_text(text)
    return shlex.join([sys.executable, str(script)])


def test_the_program_is_asked_with_rx(tmp_path: Path):
    command = program(tmp_path, "import sys\nprint(sys.argv[1:])")
    assert by_program(command)("core show version") == "['-rx', 'core show version']\n"
    assert by_program(f"{command} -C /x -rx")("y") == "['-C', '/x', '-rx', 'y']\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [("import sys\nprint('Unable to connect to remote asterisk')\nsys.exit(1)", "Unable to connect"),
     ("import time\ntime.sleep(9)", "has not answered")],
)
def test_a_program_that_fails_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str):
    monkeypatch.setattr("voicebridge.pbx.asterisk.console.TIMEOUT_S", 0.5)
    with pytest.raises(ConsoleError, match=told):
        by_program(program(tmp_path, text))("core show version")


@pytest.mark.parametrize("command", ["/nowhere/asterisk", "", "/etc/passwd"])
def test_a_program_that_cannot_be_run_is_told_of(command: str):
    with pytest.raises(ConsoleError, match="--asterisk|sudo"):
        by_program(command)("core show version")


@pytest.mark.parametrize(
    ("text", "access"),
    [
        ("ann@192.0.2.1", ("192.0.2.1", 5038, "ann", "from-env")),
        ("ann:s3:cr@et@pbx.example:5039", ("pbx.example", 5039, "ann", "s3:cr@et")),
        ("ann:x@[2001:db8::1]:5039", ("2001:db8::1", 5039, "ann", "x")),
    ],
)
def test_an_ami_login(text: str, access: tuple[str, int, str, str]):
    made = parsed_access(text, "from-env")
    assert (made.host, made.port, made.user, made.password) == access
    assert made.password not in repr(made)


@pytest.mark.parametrize("text", ["", "ann", "@host", "ann@", "ann@host:port"])
def test_no_ami_login(text: str):
    with pytest.raises(ConsoleError, match="user@host:port"):
        parsed_access(text)


# ---- the commands


def test_print_is_a_dialplan_with_its_notes():
    for pbx, note in (("asterisk", "extensions.conf"), ("freepbx", "Custom Destinations")):
        done = run("print", "--for", pbx)
        assert done.exit_code == 0
        assert note in done.stdout
        assert done.stdout.endswith(files()["voicebridge.conf"])
        assert extensions(done.stdout) == extensions(files()["voicebridge.conf"])  # the notes are comments
    made = json.loads(run("print", "--json").stdout)
    assert made["files"] == files()
    assert run("print", "--file", "voicebridge-ari.conf").stdout.endswith(files()["voicebridge-ari.conf"])
    assert run("print", "--file", "passwd").exit_code == 2


def test_install_into_a_folder(tmp_path: Path):
    (tmp_path / "extensions.conf").write_text("[default]\n")
    dry = run("install", "--to", str(tmp_path), "--dry-run")
    assert "would" in dry.stdout and "now:" not in dry.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["extensions.conf"]
    done = run("install", "--to", str(tmp_path))
    assert (done.exit_code, "dialplan reload" in done.stdout) == (0, True)
    again = json.loads(run("install", "--to", str(tmp_path), "--json").stdout)
    assert {step["change"] for step in again} == {"unchanged"}
    assert "now:" not in run("install", "--to", str(tmp_path)).stdout


def test_install_where_no_asterisk_is(tmp_path: Path):
    done = run("install", "--to", str(tmp_path))
    assert done.exit_code == 1
    assert "--to" in done.output


def test_check_prints_findings_and_exits_with_1_where_something_is_missing(tmp_path: Path):
    command = program(tmp_path, "import sys\nprint('Asterisk 16.0.0 built by x' if 'version' in sys.argv[2] else '')")
    done = run("check", "--asterisk", command)
    assert done.exit_code == 1
    assert "too old" in done.stdout and "voicebridge dialplan install" in done.stdout
    made = json.loads(run("check", "--asterisk", command, "--json").stdout)
    assert made[0]["check"] == "asterisk" and made[0]["state"] == "fail" and made[0]["cure"]
    assert run("check", "--ami", "nonsense").exit_code == 2
