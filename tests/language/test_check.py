"""The language check finds the banned words, and only in prose."""

import subprocess
import sys
import unittest
from pathlib import Path

import check

WORDS = check.banned_words(check.WORDS.read_text(encoding="utf-8"))


def found(text, path="page.md"):
    return [line.split('"')[1] for line in check.findings(path, text, WORDS)]


class Check(unittest.TestCase):
    def test_every_word_of_the_list_is_found_in_any_case_and_across_lines(self):
        for word in ("whoever", "Nobody", "SOMEBODY", "anybody", "of before", "mend", "mends", "mended", "mending"):
            self.assertEqual(found(f"The {word} is here."), [word])
        self.assertEqual(found("The policy of\n  before stays."), ["of before"])

    def test_parts_of_words_are_not_found(self):
        self.assertEqual(found("recommended amendment, nobodys_business, of beforehand"), [])

    def test_code_spans_and_blocks_of_markdown_are_not_checked(self):
        self.assertEqual(found("`nobody` and ``a ` nobody`` and `no\nbody nobody`"), [])
        self.assertEqual(found("```text\nnobody\n```\nsomebody\n~~~\nnobody\n```\nnobody\n~~~\n"), ["somebody"])

    def test_an_open_code_span_does_not_hide_the_next_paragraph(self):
        self.assertEqual(found("a ` backquote\n\nnobody `code`"), ["nobody"])

    def test_other_files_are_checked_as_a_whole(self):
        self.assertEqual(found('// `nobody`\nlet mend = "somebody";', "src/lib.rs"), ["nobody", "mend", "somebody"])

    def test_a_finding_has_its_line_and_column(self):
        (line,) = check.findings("page.md", "one\ntwo nobody", WORDS)
        self.assertTrue(line.startswith('page.md:2:5: "nobody": write instead: '), line)

    def test_a_wrong_list_is_refused_with_its_line(self):
        for text in ("nobody", "# no words\n", "(\tx", "\tx"):
            with self.assertRaises(ValueError, msg=text):
                check.banned_words(text)

    def test_without_arguments_all_files_are_checked_except_the_excluded(self):
        files = set(check.tracked(check.everything()))
        for checked in ("README.md", "src/lib.rs", "deploy/charts/keyvault-csi-provider/values.yaml", "tests/it/main.rs"):
            self.assertEqual(len(files & set(check.tracked([f":(top){checked}"]))), 1, checked)
        for excluded in check.EXCLUDED:
            self.assertEqual(files & set(check.tracked([f":(top,glob){excluded}"])), set(), excluded)

    def test_a_pattern_that_matches_no_file_is_an_error(self):
        run = [sys.executable, check.__file__, "no-such-directory"]
        done = subprocess.run(run, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no-such-directory", done.stderr)


if __name__ == "__main__":
    unittest.main()
