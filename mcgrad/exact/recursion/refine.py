"""Grids."""


def on_grids(model, asked, options, error):
    """Raise."""
    raise error
