"""``python -m gemmap`` is ``gemmap``."""

from gemmap.cli.main import main

if __name__ == "__main__":
    main()
