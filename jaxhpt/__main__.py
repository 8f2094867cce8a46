"""`python -m jaxhpt`, for where the command `jaxhpt` is not on the path."""

import sys

from jaxhpt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
