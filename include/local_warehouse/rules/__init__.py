"""Where Snowflake and fakesnow on DuckDB differ, one small function each.

`refusals` turn away what Snowflake would not run. `account`, `session_state`, `tables` and
`metadata` answer statements that DuckDB has no notion of. `names`, `functions` and `types` rewrite
a statement before fakesnow's own rules do.
"""
