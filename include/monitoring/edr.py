"""``python -m include.monitoring.edr``: Elementary's commands, without their telemetry and prompts.

The program ``edr`` asks the package index for a newer version of itself at every start, before it
reads any option. Its commands, started from here, do not.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from elementary.monitor.cli import monitor, report

    command, *arguments = sys.argv[1:]
    # What may not stand in a list of processes comes as EDR_<OPTION>.
    {"monitor": monitor, "report": report}[command].main(
        arguments, prog_name=f"edr {command}", auto_envvar_prefix="EDR"
    )
