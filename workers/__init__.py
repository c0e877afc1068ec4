"""The two kinds of workers: control, and host."""
