//! Patches of a kustomization. They are fragments of objects, and are applied to other manifests.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::ManifestSource;
use crate::text;
use crate::yaml::Node;

/// The patches of all kustomizations in, above and below the paths of a command line.
#[derive(Debug, Default)]
pub struct Fragments {
    paths: HashSet<PathBuf>,
    /// Directories whose kustomization has been read.
    folders: HashSet<PathBuf>,
}

/// The names that kustomize looks for.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

impl Fragments {
    /// Reads the kustomizations. Those that cannot be read are ignored.
    pub fn of(named: &[PathBuf]) -> Self {
        let mut fragments = Self::default();
        for path in named.iter().filter(|path| path.as_os_str() != "-").map(|path| normal(path)) {
            if path.is_dir() {
                fragments.below(&path);
            }
            // If a directory has been read, its parents have been read too.
            let above = path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
            above.iter().take_while(|folder| fragments.folder(folder)).count();
        }
        fragments
    }

    /// Whether a kustomization lists the file as a patch.
    pub fn contains(&self, file: &str) -> bool {
        !self.paths.is_empty() && self.paths.contains(&normal(Path::new(file)))
    }

    /// Reads a directory and all below it, except hidden and linked directories.
    fn below(&mut self, folder: &Path) {
        self.folder(folder);
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.below(&entry.path());
            }
        }
    }

    /// Reads the kustomization of a directory, unless it has been read; returns whether it was new.
    fn folder(&mut self, folder: &Path) -> bool {
        let new = self.folders.insert(folder.to_owned());
        if new {
            for name in KUSTOMIZATIONS {
                for root in roots(&folder.join(name)) {
                    self.kustomization(folder, &root);
                }
            }
        }
        new
    }

    fn kustomization(&mut self, folder: &Path, root: &Node) {
        let list = |key: &str| root.at(&[key]).map(Node::items).unwrap_or_default();
        let path = |item: &Node| item.at(&["path"]).and_then(Node::text).map(str::to_owned);
        let patches = list("patches").iter().chain(list("patchesJson6902")).filter_map(path);
        let merged = list("patchesStrategicMerge").iter().filter_map(Node::text).map(str::to_owned);
        // An inline patch is not a path.
        let merged = merged.filter(|text| !text.contains('\n'));
        self.paths.extend(patches.chain(merged).map(|path| normal(&folder.join(path))));
        for transformer in list("transformers").iter().filter_map(Node::text) {
            let transformer = folder.join(transformer);
            let above = transformer.parent().unwrap_or(folder);
            for root in roots(&transformer) {
                let paths = root.at(&["paths"]).map(Node::items).unwrap_or_default();
                let paths = paths.iter().filter_map(Node::text).map(str::to_owned).chain(path(&root));
                self.paths.extend(paths.map(|path| normal(&above.join(path))));
            }
        }
    }
}

/// The objects of a file; none if it cannot be read.
fn roots(file: &Path) -> Vec<Node> {
    let Some(text) = fs::read(file).ok().and_then(|bytes| text::decode(bytes).ok()) else {
        return Vec::new();
    };
    let source = ManifestSource { name: file.to_string_lossy().into_owned(), text };
    let objects = source.documents().filter_map(|document| document.objects().ok()).flatten();
    objects.map(|object| object.root).collect()
}

/// An absolute path without `.` and `..`, without access to the file system.
fn normal(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut normal = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_found_in_every_field_that_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("overlay/patches")).unwrap();
        fs::create_dir(path("shared")).unwrap();
        let kustomization = "patches: [{path: a.yaml}, {path: ./patches/../patches/b.yaml}, {patch: inline}]
patchesStrategicMerge: [../shared/c.yaml, \"kind: SecretProviderClass\\nspec: {}\"]
patchesJson6902: [{path: d.yaml, target: {kind: SecretProviderClass}}]
transformers: [patches/merge.yaml]
resources: [whole.yaml]
";
        fs::write(path("overlay/kustomization.yml"), kustomization).unwrap();
        fs::write(path("overlay/patches/merge.yaml"), "kind: PatchTransformer\npath: e.yaml\n---\nkind: PatchStrategicMergeTransformer\npaths: [f.yaml]\n").unwrap();
        let name = |file: &str| path(file).to_str().unwrap().to_owned();
        let patches = [
            "overlay/a.yaml",
            "overlay/patches/b.yaml",
            "shared/c.yaml",
            "overlay/d.yaml",
            "overlay/patches/e.yaml",
            "overlay/patches/f.yaml",
        ];
        for named in [path(""), path("overlay"), path("overlay/patches"), path("overlay/patches/b.yaml")] {
            let fragments = Fragments::of(&[named.clone(), named.clone()]);
            assert!(patches.iter().all(|patch| fragments.contains(&name(patch))), "{named:?}: {fragments:?}");
            assert!(!fragments.contains(&name("overlay/whole.yaml")), "{named:?}");
        }
        assert!(!Fragments::of(&[path("shared/c.yaml"), "-".into()]).contains(&name("shared/c.yaml")));
    }

    #[test]
    fn an_invalid_kustomization_lists_no_patches() {
        let folder = tempfile::tempdir().unwrap();
        for text in
            ["patches: 7\n", "patches: [x, {path: [y]}]\n", "kind: 'x\n", "\u{0}", "patches: &a [*a]\n"]
        {
            fs::write(folder.path().join("Kustomization"), text).unwrap();
            assert!(Fragments::of(&[folder.path().to_owned()]).paths.is_empty(), "{text}");
        }
    }
}
