"""How we log in to Asterisk's own interfaces: `[ari]` and `[ami]`. Without such a table the interface is not used.

    [ari]
    url = "http://127.0.0.1:8088/ari"
    user = "voicebridge"
    password_file = "/etc/voicebridge/ari.secret"      # or VB_ARI_PASSWORD in the environment, or password = "..."
    password_credential = "ari"                        # or what systemd's LoadCredential=ari:... gives the service
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Login(BaseModel):
    """Passwords come from the environment, else from systemd's credential or the file, else from the configuration.

    A credential is looked for in CREDENTIALS_DIRECTORY, and where that is not set, as for a `voicebridge doctor` of
    root's, nowhere: the environment or a file must give it then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = Field(default="voicebridge", pattern=r"^[A-Za-z0-9_.@-]+$")
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    password_credential: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$", max_length=255)

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        given = {
            "password": self.password.get_secret_value(), "password_file": self.password_file,
            "password_credential": self.password_credential,
        }  # fmt: skip
        if len(named := [name for name, value in given.items() if value]) > 1:
            raise ValueError(f"{' and '.join(named)}: give one of them")
        return self

    def secret(self, variable: str) -> str:
        """The password. Raises OSError where its file or credential cannot be read."""
        if value := os.environ.get(variable):
            return value
        if self.password_credential:
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise FileNotFoundError(
                    errno.ENOENT, f"systemd has passed no credential (LoadCredential={self.password_credential}:PATH)"
                )
            return (Path(folder) / self.password_credential).read_text(encoding="utf-8").strip()
        if self.password_file is not None:
            return self.password_file.read_text(encoding="utf-8").strip()
        return self.password.get_secret_value()


class AriLogin(Login):
    """Asterisk's REST interface. `app` is ours alone: what another has left in it is taken for an orphan.

    `rate`: Hz of the audio between Asterisk and us; 16000 serves callers with wideband telephones.
    """

    url: str = Field(default="http://127.0.0.1:8088/ari", pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
    app: str = Field(default="voicebridge", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    rate: int = Field(default=8_000)

    @model_validator(mode="after")
    def _known_rate(self) -> Self:
        if self.rate not in (8_000, 16_000):
            raise ValueError(f"rate: {self.rate} is neither 8000 nor 16000")
        return self


class AmiLogin(Login):
    """Asterisk's manager interface, for `voicebridge doctor` and redirects."""

    address: str = Field(default="127.0.0.1:5038", pattern=r"^[^\s:]+:[0-9]{1,5}$|^\[[0-9A-Fa-f:]+\]:[0-9]{1,5}$")
