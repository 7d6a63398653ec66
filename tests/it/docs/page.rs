//! A page of the documentation, as far as it can be held to something.

use std::path::{Path, PathBuf};

use super::link::Link;
use super::repository;

pub struct Page {
    /// Its path in the repository.
    pub name: String,
    pub blocks: Vec<Block>,
    /// Its links to files, folders and headings.
    pub links: Vec<Link>,
    /// Headings that are nothing but a quote of the program.
    pub quoted_headings: Vec<String>,
    /// Tests and modules of tests that it names, such as `fair::tests`.
    pub tests: Vec<String>,
}

/// A fenced block.
pub struct Block {
    pub language: String,
    /// Where it begins.
    pub line: usize,
    lines: Vec<String>,
}

impl Page {
    pub fn all() -> Vec<Self> {
        let mut files = below(&repository().join("docs"), "md");
        let community = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
        files.extend(community.map(|name| repository().join(name)));
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// The pages that are beside tests, examples and what is deployed.
    pub fn beside_code() -> Vec<Self> {
        let folders =
            ["tests", "examples", "deploy", "fuzz", "benches"].map(|folder| repository().join(folder));
        let files = folders.iter().flat_map(|folder| below(folder, "md"));
        files.map(|file| Self::read(&file)).collect()
    }

    pub fn read(file: &Path) -> Self {
        let text =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut page = Self {
            name: file.strip_prefix(repository()).unwrap().display().to_string(),
            blocks: Vec::new(),
            links: Vec::new(),
            quoted_headings: Vec::new(),
            tests: Vec::new(),
        };
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (Some(language), None) => {
                    open = Some(Block { language: language.to_owned(), line: index + 1, lines: Vec::new() });
                }
                (None, Some(block)) => block.lines.push(line.to_owned()),
                (None, None) => page.read_line(line, file),
            }
        }
        assert!(open.is_none(), "{}: a fenced block does not end", page.name);
        page
    }

    fn read_line(&mut self, line: &str, file: &Path) {
        let quoted = line.strip_prefix("### `").and_then(|line| line.strip_suffix('`'));
        self.quoted_headings.extend(quoted.map(str::to_owned));
        let code = line.split('`').skip(1).step_by(2);
        self.tests.extend(code.filter(|code| is_test(code)).map(str::to_owned));
        let name = file.file_name().unwrap().to_str().unwrap();
        self.links.extend(Link::of_line(line, file.parent().unwrap(), name));
    }
}

impl Block {
    /// Its text, without the white space that all its lines begin with.
    pub fn dedented(&self) -> String {
        let lines = self.lines.iter().map(String::as_str).collect::<Vec<_>>();
        dedented(&lines).join("\n")
    }

    /// Whether `example` holds the same lines, one after another, indented as they may be.
    pub fn is_quoted_from(&self, example: &str) -> bool {
        let quoted = self.lines.iter().map(String::as_str).collect::<Vec<_>>();
        let lines = example.lines().collect::<Vec<_>>();
        !quoted.is_empty() && lines.windows(quoted.len()).any(|window| dedented(window) == dedented(&quoted))
    }
}

/// Whether it is a path of modules, as a test's name is.
fn is_test(code: &str) -> bool {
    let is_path = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_' | ':' | '*');
    code.contains("::") && code.chars().all(is_path)
}

fn dedented<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let shared = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    lines.iter().map(|line| line.get(shared..).unwrap_or_default()).collect()
}

/// Every source of the provider, without the tests in it.
pub fn sources() -> Vec<String> {
    let files = below(&repository().join("src"), "rs").into_iter();
    let files = files.filter(|file| !file.ends_with("tests.rs"));
    let texts = files.map(|file| std::fs::read_to_string(file).unwrap());
    texts.map(|text| text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()).collect()
}

/// All files below `folder` whose names end so, in order. The charts that a chart depends on are not ours.
pub fn below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if entry.ends_with("charts") && entry.with_file_name("Chart.yaml").exists() {
                continue;
            }
            found.extend(below(&entry, extension));
        } else if entry.extension().is_some_and(|found| found == extension) {
            found.push(entry);
        }
    }
    found
}
