"""``python -m spectuner_ext`` is the command ``spectuner``."""

from .cli import main

if __name__ == "__main__":
    main()
