"""What the verbs of the command line do, one module for each group. Each returns the exit code."""
