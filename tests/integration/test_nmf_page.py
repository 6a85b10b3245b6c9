"""The page of figures is what the kept results give."""

import subprocess
import sys


def test_the_page_is_made_from_the_kept_results(repo_root):
    script = "import nmf_page; print(nmf_page.page(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=repo_root / "tests" / "benchmarks",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    page = repo_root / "docs" / "nmf_figures.md"
    assert page.read_text(encoding="utf-8") == done.stdout
