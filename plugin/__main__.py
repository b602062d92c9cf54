"""``python -m plugin VERB`` is ``paintover VERB``."""

import sys

from plugin.cli import main

if __name__ == "__main__":
    sys.exit(main())
