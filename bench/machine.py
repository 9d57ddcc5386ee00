"""What a benchmark ran on: without that its numbers mean nothing."""

from voicebridge.load.machine import machine

__all__ = ["machine"]
