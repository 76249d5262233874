"""DAG files are read with the settings that a settings file alone holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.airflow.environment import airflow_environment
from include.project.paths import REPOSITORY
from include.warehouse.connection import ConnectionSettings


def test_target_and_home_may_stand_in_the_file_alone(
    airflow_settings: ConnectionSettings, manifest: Mapping[str, Any], tmp_path: Path
) -> None:
    assert manifest
    file = tmp_path / "settings.env"
    file.write_text(
        f"FIRN_HOME={airflow_settings.home}\nFIRN_TARGET=PROD\nSNOWFLAKE_ACCOUNT=local\n"
    )
    variables = airflow_environment(settings=airflow_settings)
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from airflow.dag_processing.dagbag import DagBag;"
            "bag = DagBag('dags/retail__sales__daily.py', bundle_name='dags-folder');"
            "(dag,) = bag.dags.values();"
            "print(*{one.profile_config.target_name for one in dag.tasks"
            " if hasattr(one, 'profile_config')})",
        ],
        cwd=REPOSITORY,
        env={name: value for name, value in variables.items() if not name.startswith("FIRN_")}
        | {"FIRN_ENV_FILE": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "prod"
