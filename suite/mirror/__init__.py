"""What an experiment tracker holds of the store: made from the store alone, written by :mod:`suite.tracking`."""
