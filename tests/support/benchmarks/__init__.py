"""What ``nox -s bench`` measures: cases, how they are counted and timed, what the machine can do, the table."""
