"""What agents can do. A plug-in needs only these names:

    from voicebridge.tools import Fallback, Tool, ToolContext, ToolError, ToolReply, tool

An entry point of the group `voicebridge.tools` is a Tool, or a toolbox: an object whose `create(settings)` makes
several from `[tools.<entry point>]` of voicebridge.toml, and raises SetupError when it cannot.
"""

from voicebridge.tools.context import SetupError, ToolContext, ToolError, ToolReply
from voicebridge.tools.fallback import Fallback
from voicebridge.tools.schema import Parameter
from voicebridge.tools.tool import Options, Tool, ToolDefinitionError, tool

__all__ = [
    "Fallback", "Options", "Parameter", "SetupError", "Tool", "ToolContext", "ToolDefinitionError", "ToolError",
    "ToolReply", "tool",
]  # fmt: skip
