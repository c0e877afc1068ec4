"""What an operator can ask for, whoever asks: the command line, and any API, are thin on top."""
