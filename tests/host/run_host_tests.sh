#!/usr/bin/env bash
# SpeechBrain's own tests on our code; docs/host_tests.md says what is run.
#
#   SPEECHBRAIN_REPO=<clone> run_host_tests.sh [--markdown <page>] [part ...]
#
# Parts: recipes, layers, sparsity_0, sparsity_30; all of them by default. What
# pytest reports stays in results/host_tests. The clone is only copied from.
# Exit code: 1 for a failure of ours, 2 where nothing could be run.
set -uo pipefail

fail() {
	echo "error: $*" >&2
	exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
all="recipes layers sparsity_0 sparsity_30"
page=()
if [ "${1:-}" = --markdown ]; then
	[ -f "${2:-}" ] || fail "\`--markdown\` must name a page, got '${2:-}'."
	page=(--markdown "$(realpath "$2")")
	shift 2
fi
# shellcheck disable=SC2086  # a word is a part
[ $# -gt 0 ] || set -- $all
for part in "$@"; do
	[[ " $all " == *" $part "* ]] ||
		fail "parts must be among ${all// /, }, got '$part'."
done
parts=" $* "
repo=${SPEECHBRAIN_REPO:-}
if [ ! -f "$repo/tests/consistency/test_recipe.py" ] ||
	[ ! -f "$repo/speechbrain/version.txt" ]; then
	fail "\`SPEECHBRAIN_REPO\` must name a clone of SpeechBrain, got '$repo'."
fi
repo=$(realpath "$repo")

python=$(command -v "${PYTHON:-$root/.venv/bin/python}") ||
	fail "\`PYTHON\` must name an interpreter, got '${PYTHON:-}' (make venv?)."
[[ $python == /* ]] || python=$PWD/$python
results=$root/results/host_tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{host,ours,bin} "$results"
# Without speechbrain/: the tests are to find the installed one.
cp -r "$repo"/{tests,templates,conftest.py,pytest.ini} "$work/host" || exit 2
cp -r "$root"/{plugins,recipes,hparams,tests} "$work/ours" || exit 2
ln -s "$root/results" "$work/ours/results" # synthesised speech is kept there
# SpeechBrain's runner of recipes calls `python`.
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$work/bin/python"
chmod +x "$work/bin/python"
export PATH="$work/bin:$PATH" PYTHONPATH="$here:$root/plugins:$work/host"
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

cd "$work/host" || exit 2
python "$here/host_versions.py" "$repo" >"$results/versions.txt" || exit 2
cat "$results/versions.txt"

wanted() { [[ $parts == *" $1 "* ]]; }

# run <report> <arguments of pytest>: the table judges what passed and failed;
# any other end of pytest is no result.
run() {
	local report=$results/$1.xml
	rm -f "$report"
	python -m pytest -q -c "$work/host/pytest.ini" --rootdir "$work" \
		-p no:cacheprovider -p no:warnings -o junit_family=xunit1 \
		--tb=short --junitxml "$report" "${@:2}"
	[ $? -le 1 ] || rm -f "$report"
}

# run_host <part> <arguments>: what failed runs once more without our code.
run_host() {
	local failed
	run "$@"
	rm -f "$results/alone_$1.xml"
	mapfile -t failed < <(
		python "$here/host_table.py" "$results" --failed "$1" | grep .
	)
	if [ ${#failed[@]} -gt 0 ]; then
		run "alone_$1" "${failed[@]/#/$work/}"
	fi
}

if wanted recipes; then
	checks=$work/host/tests/consistency
	(cd "$work/ours" && run recipes "$checks"/test_{recipe,yaml}.py \
		tests/host/host_recipes.py --deselect \
		host/tests/consistency/test_recipe.py::test_recipe_list)
fi
if wanted layers; then
	run_host layers -p host_layers tests/unittests/test_{linear,CNN,RNN}.py \
		tests/unittests/test_{attention,conformer,features,core}.py \
		tests/unittests/test_{checkpoints,pretrainer,schedulers}.py \
		tests/unittests/test_transformer_src_tgt_masks.py \
		"$work/ours/tests/host/host_examples.py"
fi
for percent in 0 30; do
	if wanted "sparsity_$percent"; then
		run_host "sparsity_$percent" -p host_pruner \
			--host-sparsity "$percent" tests/integration
	fi
done
python "$here/host_table.py" "$results" "$@" "${page[@]}"
