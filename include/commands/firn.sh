#!/bin/sh
# The command `firn`: installed beside the Python that it runs in, or anywhere on an image's PATH.
python="$(dirname "$0")/python"
[ -x "$python" ] || python=python
exec "$python" -m include.commands "$@"
