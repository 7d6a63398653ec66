//! `--file-writer=provider`, killed while it writes: readers see one complete generation.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use keyvault_emulator::{Emulator, Secret};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, fstat, stat};

use crate::harness::{Claim, Provider, seed};
use crate::volume::Volume;
use crate::watch::Watch;

/// Number of processes that are killed.
const KILLS: usize = 200;
/// Number of files for each secret, written alternately.
const COPIES: usize = 10;
/// Sizes of the secrets' values: writing a large file takes many system calls, writing a small one takes one.
const SIZES: [(&str, usize); 2] = [("large", 120_000), ("small", 40)];
/// The value of a secret in one generation: its number, repeated.
fn value(generation: usize, size: usize) -> String {
    format!("{generation:08}").repeat(size / 8)
}

/// The generation of a file. Fails if the file is incomplete or mixed.
fn generation_of(contents: &[u8], size: usize) -> usize {
    assert_eq!(contents.len(), size, "a file is truncated");
    let generation = std::str::from_utf8(&contents[..8]).unwrap().parse().unwrap();
    assert!(contents == value(generation, size).as_bytes(), "a file is mixed");
    generation
}

fn paths() -> Vec<(String, usize)> {
    let of = |copy| SIZES.map(|(name, size)| (format!("{name}/{copy}"), size));
    (0..COPIES).flat_map(of).collect()
}

fn claim(emulator: &Emulator, volume: &Volume) -> Claim {
    let of = |copy| {
        SIZES.map(|(name, _)| {
            format!("- {{objectName: {name}, objectType: secret, objectAlias: {name}/{copy}}}\n")
        })
    };
    let objects = (0..COPIES).flat_map(of).collect::<String>();
    let token = emulator.token("default", "workload-identity-sa").build();
    Claim::new(&token).objects(&objects).target(volume.path())
}

/// Reads a volume repeatedly, in the three ways that are open to a pod.
struct Reader {
    target: PathBuf,
    newest: usize,
    passes: usize,
}

impl Reader {
    fn read_until(mut self, over: &AtomicBool) -> usize {
        while !over.load(Ordering::Relaxed) {
            self.by_names();
            self.by_open_directory();
            self.by_open_files();
            self.passes += 1;
        }
        self.passes
    }

    fn data(&self) -> PathBuf {
        std::fs::read_link(self.target.join("..data")).expect("..data always exists")
    }

    /// Checks that all files are of one generation, and not older than one seen before.
    fn check(&mut self, generations: &BTreeSet<usize>, how: &str) {
        assert!(generations.len() <= 1, "{how} shows a mixture: {generations:?}");
        let Some(&generation) = generations.first() else { return };
        assert!(generation >= self.newest, "{how} goes back from {} to {generation}", self.newest);
        self.newest = generation;
    }

    /// By listed names, which may change between two files, but never to an older generation.
    fn by_names(&mut self) {
        let before = self.data();
        let files = paths();
        let read = |(path, size): &(String, usize)| {
            let contents = std::fs::read(self.target.join(path));
            contents.map(|contents| generation_of(&contents, *size))
        };
        let read = files.iter().map(read).collect::<Vec<_>>();
        if self.data() == before {
            self.check(
                &read.into_iter().map(|read| read.expect("every name refers to a file")).collect(),
                "a listing",
            );
        } else {
            // A path is resolved through the link and then the directory; the link may change in between.
            let errors = read.iter().filter_map(|read| read.as_ref().err());
            assert!(errors.into_iter().all(|error| error.raw_os_error() == Some(Errno::ENOENT as i32)));
        }
    }

    /// Through an open directory: it is one generation as long as it contains files.
    fn by_open_directory(&mut self) {
        let directory = self.hold();
        let opened =
            paths().iter().map(|(path, size)| Self::open(&directory, path, *size)).collect::<Vec<_>>();
        self.check_missing(&directory, opened.iter().any(Option::is_none));
        self.check(&opened.into_iter().flatten().map(generation).collect(), "an open directory");
    }

    /// Through files that are opened before one of them is read.
    fn by_open_files(&mut self) {
        let directory = self.hold();
        let files = paths().into_iter().map_while(|(path, size)| Self::open(&directory, &path, size));
        let files = files.collect::<Vec<_>>();
        self.check_missing(&directory, files.len() < paths().len());
        self.check(&files.into_iter().rev().map(generation).collect(), "open files");
    }

    fn hold(&self) -> OwnedFd {
        open(&self.target.join("..data"), OFlag::O_DIRECTORY, Mode::empty())
            .expect("..data refers to a directory")
    }

    fn open(directory: &OwnedFd, path: &str, size: usize) -> Option<(File, usize)> {
        match openat(directory, path, OFlag::O_RDONLY, Mode::empty()) {
            Ok(file) => Some((file.into(), size)),
            Err(Errno::ENOENT) => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// A file may be missing in a directory only after another directory has replaced it.
    fn check_missing(&self, directory: &OwnedFd, missing: bool) {
        let now = stat(&self.target.join("..data/")).expect("..data refers to a directory");
        assert!(
            !missing || fstat(directory).unwrap().st_ino != now.st_ino,
            "a file is missing in the current generation"
        );
    }
}

fn generation((mut file, size): (File, usize)) -> usize {
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).unwrap();
    generation_of(&contents, size)
}

/// The point at which a mount was killed.
#[derive(Debug, Default)]
struct KillCounts {
    before_the_swap: usize,
    after_the_swap: usize,
    elsewhere: usize,
}

impl KillCounts {
    /// Counts a kill by what it left: never more than one directory, because each mount first removes
    /// the leftovers of the previous one. Returns whether the kill hit the writing.
    fn count(&mut self, volume: &Volume, before: &Path) -> bool {
        let data = volume.generation();
        let left = directories(volume).into_iter().filter(|name| *name != data).collect::<Vec<_>>();
        assert!(left.len() <= 1, "{left:?} is left next to {}", data.display());
        match left.first() {
            None => self.elsewhere += 1,
            Some(left) if left == before => self.after_the_swap += 1,
            Some(_) => self.before_the_swap += 1,
        }
        !left.is_empty()
    }
}

/// The writer's directories.
fn directories(volume: &Volume) -> Vec<PathBuf> {
    let names =
        std::fs::read_dir(volume.path()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    names.filter(|name| name.to_string_lossy().starts_with("..2")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_one_complete_generation_whenever_the_writer_is_killed() {
    let mut seed = seed();
    for (name, size) in SIZES {
        seed.vaults[0].secrets.push(Secret::new(name, value(0, size)));
    }
    let emulator = Emulator::start(seed).await.unwrap();
    let (directory, volume) = (tempfile::tempdir().unwrap(), Volume::shared());
    let start = || Provider::start(&emulator, directory.path(), &["--file-writer=provider"]);
    let mut watch = Watch::new(volume.path());
    let (first, first_claim) = (start(), claim(&emulator, &volume));
    let written = async {
        watch.name("..2").await;
        let began = Instant::now();
        watch.name("..data_tmp").await;
        began.elapsed()
    };
    let (mut longest, answer) = tokio::join!(written, first.mount(&first_claim));
    answer.unwrap();
    drop(first);

    let over = Arc::new(AtomicBool::new(false));
    let reader = Reader { target: volume.path().to_owned(), newest: 0, passes: 0 };
    let reading = std::thread::spawn({
        let over = Arc::clone(&over);
        move || reader.read_until(&over)
    });
    let mut kills = KillCounts::default();
    for generation in 1..=KILLS {
        for (name, size) in SIZES {
            emulator.set_secret("myKeyVault", name, &value(generation, size)).unwrap();
        }
        let before = volume.generation();
        let provider = start();
        let mut watch = Watch::new(volume.path());
        let (claim, mut client) = (claim(&emulator, &volume), provider.client());
        let until = longest.mul_f64(fastrand::f64());
        let killing = Cell::new(false);
        let killed = async {
            watch.name("..2").await;
            let began = Instant::now();
            while began.elapsed() < until {
                std::thread::yield_now();
            }
            killing.set(true);
            provider.signal(Signal::SIGKILL);
        };
        let mounted = async {
            let answer = client.mount(claim.request()).await;
            assert!(answer.is_ok() || killing.get(), "{answer:?}");
        };
        tokio::join!(mounted, killed);
        provider.ended().await;
        // The duration of writing depends on the machine and its load.
        longest = longest.mul_f64(if kills.count(&volume, &before) { 1.1 } else { 0.9 });
        assert!(!reading.is_finished(), "the reader has seen an invalid state: {kills:?}");
    }
    start().mount(&claim(&emulator, &volume)).await.unwrap();
    over.store(true, Ordering::Relaxed);
    let passes = reading.join().expect("the reader has seen complete generations only");
    assert_eq!(directories(&volume), [volume.generation()], "the next mount removes the leftovers");
    assert!(std::fs::symlink_metadata(volume.path().join("..data_tmp")).is_err());
    println!("{kills:?}, {passes} passes");
    assert!(kills.before_the_swap >= KILLS / 10, "{kills:?}");
    assert!(kills.after_the_swap > 0, "{kills:?}");
    assert!(passes > KILLS, "{passes}");
}
