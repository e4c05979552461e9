"""Which versions this run has, where what a test claims depends on them."""

import sqlalchemy

SQLALCHEMY = sqlalchemy.__version__
IS_2_0 = SQLALCHEMY.startswith("2.0.")
"""Whether SQLAlchemy is one of the 2.0 series."""
