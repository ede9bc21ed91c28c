"""From outcomes to tables: a tidy frame, cells with mean and spread, published values beside them, rendered
texts.
"""
