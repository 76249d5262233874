"""A Snowflake-compatible warehouse on 127.0.0.1, for work without an account.

fakesnow speaks the Snowflake protocol on DuckDB; the modules here keep its data on disk, give it
Snowflake's locking and transactions, and add the rules in which it differs from Snowflake.
Clients must not import anything from here: they connect, as they would to an account.
"""

LOGIN_FILE = "local_password"
