"""Where people come in: the commands."""
