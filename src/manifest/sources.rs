//! The sources of manifests: files, directories, standard input.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::vec;

use super::Documents;
use crate::text;

/// A file that has been read.
#[derive(Clone, Debug)]
pub struct ManifestSource {
    /// The name in messages: the path as it was given, or `<stdin>`.
    pub name: String,
    /// The content.
    pub text: String,
}

impl ManifestSource {
    /// Its documents.
    pub fn documents(&self) -> Documents<'_> {
        Documents::new(&self.name, &self.text)
    }
}

/// A file or directory that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {problem}: {error}")]
pub struct SourceError {
    /// The path as it was given, or `<stdin>`.
    pub name: String,
    problem: &'static str,
    #[source]
    error: io::Error,
}

/// Reads the paths of a command line, one file after the other: files of any name, directories with every `.yaml`,
/// `.yml` and `.json` file below them, and `-` for standard input.
#[derive(Debug)]
pub struct ManifestSources {
    named: vec::IntoIter<PathBuf>,
    /// The files found in directories, last first.
    found: Vec<PathBuf>,
}

impl ManifestSources {
    /// `named` are files, directories and `-`.
    pub fn new(named: Vec<PathBuf>) -> Self {
        Self { named: named.into_iter(), found: Vec::new() }
    }

    /// Adds the files of a directory, to be read next. Hidden files belong to other programs, and linked directories
    /// may form a cycle, so both are skipped.
    fn open(&mut self, folder: &Path) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let extension = path.extension().and_then(OsStr::to_str);
            let manifest = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
            if !hidden && (entry.file_type()?.is_dir() || (manifest && !path.is_dir())) {
                found.push(path);
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        self.found.append(&mut found);
        Ok(())
    }
}

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

impl Iterator for ManifestSources {
    type Item = Result<ManifestSource, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let path = self.found.pop().or_else(|| self.named.next())?;
            if path.as_os_str() == "-" {
                return Some(read("<stdin>".to_owned(), io::stdin().lock()));
            }
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                match self.open(&path) {
                    Ok(()) => continue,
                    Err(error) => {
                        return Some(Err(SourceError { name, problem: "cannot read the directory", error }));
                    }
                }
            }
            return Some(match File::open(&path) {
                Ok(file) => read(name, file),
                Err(error) => Err(SourceError { name, problem: "cannot open the file", error }),
            });
        }
    }
}

fn read(name: String, mut file: impl Read) -> Result<ManifestSource, SourceError> {
    let mut bytes = Vec::new();
    if let Err(error) = file.read_to_end(&mut bytes) {
        return Err(SourceError { name, problem: "cannot read it", error });
    }
    match text::decode(bytes) {
        Ok(text) => Ok(ManifestSource { name, text }),
        Err(error) => {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            Err(SourceError { name, problem: "it is not a text file", error })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn directories_are_read_in_order_and_an_unreadable_file_stops_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("b/c.yaml")).unwrap();
        fs::create_dir(path(".git")).unwrap();
        for name in ["a.yml", "b/c.yaml/d.json", "b/z.yaml", "e.txt", ".git/f.yaml", "named"] {
            fs::write(path(name), name).unwrap();
        }
        fs::write(path("b/x.yaml"), b"\xff").unwrap();
        symlink(".", path("b/circle")).unwrap();
        symlink("../named", path("b/link.yaml")).unwrap();
        symlink("nowhere", path("b/nowhere.yaml")).unwrap();
        let named = ["named", "missing", "."].map(|name| folder.path().join(name));
        let read = ManifestSources::new(named.to_vec()).map(|source| source.map_err(|error| error.name));
        let read = read.map(|source| source.map(|source| source.text)).collect::<Vec<_>>();
        let bad = |name: &str| Err(folder.path().join(name).to_str().unwrap().to_owned());
        let good = |text: &str| Ok(text.to_owned());
        assert_eq!(
            read,
            [
                good("named"),
                bad("missing"),
                good("a.yml"),
                good("b/c.yaml/d.json"),
                good("named"),
                bad("./b/nowhere.yaml"),
                bad("./b/x.yaml"),
                good("b/z.yaml"),
            ]
        );
    }
}
