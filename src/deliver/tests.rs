//! Complete and cancelled writes, and files with conflicting paths.

use std::cell::Cell;
use std::path::Path;

use super::*;

/// The number of this process's open files below `target`.
fn open_below(target: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    open.filter(|path| path.starts_with(target)).count()
}

fn files(contents: &str) -> Vec<VolumeFile> {
    ["a", "folder/b", "folder/inner/c"]
        .map(|path| VolumeFile {
            path: RelativePath::parse(path).unwrap(),
            mode: FileMode::parse_octal("0600").unwrap(),
            contents: SecretBytes::new(contents.into()),
        })
        .to_vec()
}

fn tree(target: &Path) -> Vec<String> {
    let mut names = std::fs::read_dir(target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn a_write_that_is_cancelled_at_any_step_keeps_the_old_files_and_leaves_nothing_open() {
    let volume = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = volume.path();
    write(target, &files("old"), &|| false).unwrap();
    let before = tree(target);
    let mut steps = 0;
    loop {
        let (left, seen_open) = (Cell::new(steps), Cell::new(0));
        let cancelled = || {
            seen_open.set(open_below(target));
            if left.get() == 0 {
                true
            } else {
                left.set(left.get() - 1);
                false
            }
        };
        let written = write(target, &files("new"), &cancelled);
        assert_eq!(open_below(target), 0, "after {steps} steps");
        if let Ok(outcome) = written {
            assert_eq!(outcome, Outcome::Changed);
            break;
        }
        assert!(seen_open.get() > 0, "it must be cancelled in the middle of its work");
        assert!(matches!(written, Err(DeliverError::Cancelled)));
        assert_eq!(tree(target), before, "after {steps} steps");
        assert_eq!(std::fs::read_to_string(target.join("folder/inner/c")).unwrap(), "old");
        steps += 1;
    }
    assert!(steps >= 4, "before each of three files, and before the swap: {steps}");
    assert_eq!(std::fs::read_to_string(target.join("folder/inner/c")).unwrap(), "new");
    assert_eq!(write(target, &files("new"), &|| false).unwrap(), Outcome::Unchanged);
    assert_eq!(open_below(target), 0);
}

#[test]
fn the_last_of_equal_paths_takes_the_position_of_the_first() {
    let file = |path: &str, contents: &str| VolumeFile {
        path: RelativePath::parse(path).unwrap(),
        mode: FileMode::parse_octal("0600").unwrap(),
        contents: SecretBytes::new(contents.into()),
    };
    let kept = last_wins(vec![file("a", "1"), file("b", "2"), file("a", "3")]);
    let kept = kept.iter().map(|file| (file.path.as_str(), file.contents.expose())).collect::<Vec<_>>();
    assert_eq!(kept, [("a", b"3".as_slice()), ("b", b"2")]);
}

fn paths(paths: &[&str]) -> Result<Vec<String>, String> {
    let files = paths.iter().enumerate().map(|(index, path)| VolumeFile {
        path: RelativePath::parse(path).unwrap(),
        mode: FileMode::parse_octal("0600").unwrap(),
        contents: SecretBytes::new(index.to_string().into_bytes()),
    });
    let distinct = distinct(files.collect()).map_err(|error| error.to_string())?;
    let shown =
        |file: &VolumeFile| format!("{}={}", file.path, String::from_utf8_lossy(file.contents.expose()));
    Ok(distinct.iter().map(shown).collect())
}

#[test]
fn distinct_keeps_the_last_of_equal_paths_and_refuses_a_file_that_is_a_folder() {
    assert_eq!(paths(&["a", "b/c", "a", "b/d"]).unwrap(), ["a=2", "b/c=1", "b/d=3"]);
    assert_eq!(paths(&["tls.crt", "tls.crt.d/x"]).unwrap().len(), 2);
    for (inside, file) in [(["tls.crt/x", "tls.crt"], "tls.crt"), (["a/b", "a/b/c/d"], "a/b")] {
        let error = paths(&inside).unwrap_err();
        assert!(error.contains(&format!("is inside \"{file}\", which is also a file")), "{error}");
    }
}
