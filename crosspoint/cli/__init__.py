"""The command `crosspoint`, one file a subcommand."""
