"""`python -m jaxhpt.cli`, for where the command `jaxhpt` is not on the path."""

import sys

from jaxhpt.cli.main import main

sys.exit(main())
