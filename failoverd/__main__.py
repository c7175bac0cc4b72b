"""``python -m failoverd``."""

import sys

from failoverd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
