"""`python -m voicebridge`."""

from voicebridge.cli.main import main

main(prog_name="voicebridge")
