"""`python -m crosspoint.cli`: the same as the command `crosspoint`."""

from crosspoint.cli.main import main

if __name__ == "__main__":
    main()
