#!/usr/bin/env bash
# Checks the language of the repository: banned words, spelling, and the form of Markdown. Needs Git and Python; fetches
# typos and pymarkdown once, into target/language-tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONDONTWRITEBYTECODE=1

requirements=tests/language/requirements.txt
python=target/language-tools/python-$(sha256sum < "$requirements" | head -c 12)
if [ ! -e "$python/complete" ]; then
    python3 -m venv --clear "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    touch "$python/complete"
fi

(cd tests/language && python3 -m unittest -q)
tests/language/check.py
"$python/bin/typos" --format brief
git ls-files -z '*.md' | xargs -0 "$python/bin/pymarkdown" --config .pymarkdown.json scan
