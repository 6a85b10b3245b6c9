#!/usr/bin/env bash
# Installs SLURM for the tests with the marker `slurm`, where that is possible.
# Where it is not, says why in one line and ends well: the tests are skipped.
set -euo pipefail

if command -v slurmctld slurmd munged >/dev/null; then
	exit 0
fi
if [ "$(uname)" != Linux ] || ! command -v apt-get >/dev/null; then
	echo "SLURM was not installed: this system has no apt-get"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "SLURM was not installed: that needs root"
	exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# A service that starts by itself would be in the way of the tests' own.
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
	slurm-wlm munge; } >"$log" 2>&1 </dev/null; then
	echo "SLURM was not installed: $(tail -n 1 "$log")"
fi
