"""Entry of ``start``: makes the package importable without installing anything."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.setup.command import main

sys.exit(main(sys.argv[1:]))
