"""Who is told of calls (`voicebridge.events`): what a plug-in of that kind is, and the built-in ones."""
