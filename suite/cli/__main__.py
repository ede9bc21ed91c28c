"""``python -m suite.cli``: the command line, where no console script is installed."""

from suite.cli import main

if __name__ == "__main__":
    main()
