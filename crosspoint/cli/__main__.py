"""`python -m crosspoint.cli`: the same as the command `crosspoint`."""

import sys

from crosspoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
