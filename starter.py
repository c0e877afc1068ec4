"""The operator's command line, as a program: `python starter.py …` is the same as `evacuate …`."""

from cli.app import app, main

__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
