#!/usr/bin/env python3
"""Fails if a tracked file contains a word of words.txt.

Without arguments it checks every tracked file except those of EXCLUDED. Arguments are files or directories, or patterns
of git: `check.py src` checks every tracked file below src. In Markdown it ignores code spans and code blocks, because they quote programs. It
checks other files as a whole.
"""

import re
import subprocess
import sys
from pathlib import Path

WORDS = Path(__file__).with_name("words.txt")
# Texts of others, and the check itself, which contains the words.
EXCLUDED = [
    "LICENSE",
    "**/*.lock",
    "**/*.sum",
    "**/testdata/**",
    "tests/data/recorded/**",
    "tests/language/*.py",
    "tests/language/words.txt",
]
# Between two words, which may stand on two lines.
SPACE = r"[ \t]*[ \n][ \t]*"
FENCE = re.compile(r"^[ >]*(`{3,}|~{3,})(.*)$")
# A code span ends with as many backquotes as it begins with, and may continue on the next lines of its paragraph.
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)*?(?<!`)\1(?!`)", re.DOTALL)


def banned_words(text):
    """The words of the list, each with what to write instead."""
    words = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        word, tab, instead = line.partition("\t")
        if not (word.strip() and tab and instead.strip()):
            raise ValueError(f"{WORDS}:{number}: write a word, a tab, and what to write instead")
        try:
            pattern = re.compile(r"\b(?:" + word.replace(" ", SPACE) + r")\b", re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"{WORDS}:{number}: not a regular expression: {error}") from error
        words.append((pattern, instead))
    if not words:
        raise ValueError(f"{WORDS}: the list is empty")
    return words


def blank(text):
    """White space with the same lines and columns."""
    return re.sub(r"[^\n]", " ", text)


def prose(markdown):
    """Markdown without its code; lines and columns stay the same."""
    lines, fence = [], None
    for line in markdown.split("\n"):
        mark = FENCE.match(line)
        if fence is None and mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence = mark[1]
            lines.append(blank(line))
        elif fence is not None:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = None
            lines.append(blank(line))
        else:
            lines.append(line)
    return CODE_SPAN.sub(lambda span: blank(span[0]), "\n".join(lines))


def findings(path, text, words):
    """One line for each banned word, in the order of the file."""
    searched = prose(text) if path.endswith(".md") else text
    found = [(match.start(), match[0], instead) for word, instead in words for match in word.finditer(searched)]
    for start, word, instead in sorted(found):
        line = text.count("\n", 0, start) + 1
        column = start - text.rfind("\n", 0, start)
        yield f'{path}:{line}:{column}: "{" ".join(word.split())}": write instead: {instead}'


def tracked(patterns):
    """The tracked files that match; every pattern must match one."""
    command = ["git", "ls-files", "-z", "--error-unmatch", "--", *patterns]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode != 0:
        raise ValueError(listed.stderr.decode(errors="replace").strip())
    return [name for name in listed.stdout.decode().split("\0") if name]


def everything():
    """The patterns of all files to check."""
    return [":(top)", *(f":(top,exclude,glob){name}" for name in EXCLUDED)]


def read(path):
    """The text of a file; none of a binary file, and of a link or a deleted file."""
    if Path(path).is_symlink() or not Path(path).is_file():
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def main(patterns):
    try:
        words = banned_words(WORDS.read_text(encoding="utf-8"))
        files = tracked(patterns or everything())
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    found = [line for path in files if Path(path).resolve() != WORDS for line in findings(path, read(path), words)]
    print("\n".join(found) if found else f"language: no banned word in {len(files)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
