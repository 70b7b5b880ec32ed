"""`python -m fovea` is the command `fovea`."""

import sys

from fovea.cli import main

sys.exit(main())
