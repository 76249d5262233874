"""The libraries that tasks and DAG files need. Importing this module imports them.

They take seconds to import. A process that forks for each task or each DAG file imports them once,
before it forks. Code of this project is not among them, so that a change of it needs no restart.
"""

import airflow.sdk.execution_time.supervisor
import airflow.sdk.execution_time.task_runner
import airflow.serialization.serialized_objects  # noqa: F401
import cosmos.operators.local
import cosmos.operators.watcher  # noqa: F401
import dbt.adapters.snowflake
import dbt.cli.main  # noqa: F401
import snowflake.connector  # noqa: F401
