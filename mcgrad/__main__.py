"""`python -m mcgrad`: compare estimators on a problem of one's own."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
