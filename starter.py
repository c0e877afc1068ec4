"""The operator's command line, as a program: `python starter.py …` is the same as `evacuate …`."""

from cli.app import app, main, run
from embedded.commands import mount

__all__ = ["app", "main", "run"]

mount(app)

if __name__ == "__main__":
    main()
