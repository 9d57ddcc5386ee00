"""How the tests' tiny models are made: see ../README.md. Never run by pytest, nor by anything but `__main__`."""
