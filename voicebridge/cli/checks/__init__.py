"""The checks of `voicebridge doctor`. Each yields findings and changes nothing on the machine."""
