"""A telephone for one test call: SIP signalling with pyVoIP's messages, media by `load`'s endpoint."""
