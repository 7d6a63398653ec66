//! `--file-writer=provider`, killed while it writes: whoever reads sees one whole generation.

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

/// Processes that are killed.
const KILLS: usize = 200;
/// Of each secret so many files are written, in turns.
const COPIES: usize = 10;
/// Bytes of the secrets' values: one file takes the time of many system calls, the other of one.
const SIZES: [(&str, usize); 2] = [("large", 120_000), ("small", 40)];
/// The value of a secret in one generation: its number, again and again.
fn value(generation: usize, size: usize) -> String {
    format!("{generation:08}").repeat(size / 8)
}

/// The generation that a file is of. A file that is not whole is of none.
fn generation_of(contents: &[u8], size: usize) -> usize {
    assert_eq!(contents.len(), size, "a file is cut");
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

/// Reads a volume over and over, in the three ways a pod may.
struct Reader {
    target: PathBuf,
    newest: usize,
    passes: usize,
}

impl Reader {
    fn read_until(mut self, over: &AtomicBool) -> usize {
        while !over.load(Ordering::Relaxed) {
            self.by_names();
            self.by_held_folder();
            self.by_held_files();
            self.passes += 1;
        }
        self.passes
    }

    fn data(&self) -> PathBuf {
        std::fs::read_link(self.target.join("..data")).expect("..data is always there")
    }

    /// All files are of one generation, and none is of an earlier one than was seen already.
    fn saw(&mut self, generations: &BTreeSet<usize>, how: &str) {
        assert!(generations.len() <= 1, "{how} shows a mixture: {generations:?}");
        let Some(&generation) = generations.first() else { return };
        assert!(generation >= self.newest, "{how} goes back from {} to {generation}", self.newest);
        self.newest = generation;
    }

    /// By the names that a listing shows, which may be swapped between two files, but not back.
    fn by_names(&mut self) {
        let before = self.data();
        let files = paths();
        let read = |(path, size): &(String, usize)| {
            let contents = std::fs::read(self.target.join(path));
            contents.map(|contents| generation_of(&contents, *size))
        };
        let read = files.iter().map(read).collect::<Vec<_>>();
        if self.data() == before {
            self.saw(
                &read.into_iter().map(|read| read.expect("every name leads to a file")).collect(),
                "a listing",
            );
        } else {
            // The way to a file goes through the link and then the folder; the swap may be in between.
            let gone = read.iter().filter_map(|read| read.as_ref().err());
            assert!(gone.into_iter().all(|error| error.raw_os_error() == Some(Errno::ENOENT as i32)));
        }
    }

    /// Through a folder that is held: it is one generation for as long as there is something in it.
    fn by_held_folder(&mut self) {
        let folder = self.hold();
        let opened = paths().iter().map(|(path, size)| Self::open(&folder, path, *size)).collect::<Vec<_>>();
        self.check_missing(&folder, opened.iter().any(Option::is_none));
        self.saw(&opened.into_iter().flatten().map(generation).collect(), "a held folder");
    }

    /// Through files that are held before one of them is read.
    fn by_held_files(&mut self) {
        let folder = self.hold();
        let files = paths().into_iter().map_while(|(path, size)| Self::open(&folder, &path, size));
        let files = files.collect::<Vec<_>>();
        self.check_missing(&folder, files.len() < paths().len());
        self.saw(&files.into_iter().rev().map(generation).collect(), "held files");
    }

    fn hold(&self) -> OwnedFd {
        open(&self.target.join("..data"), OFlag::O_DIRECTORY, Mode::empty())
            .expect("..data leads to a folder")
    }

    fn open(folder: &OwnedFd, path: &str, size: usize) -> Option<(File, usize)> {
        match openat(folder, path, OFlag::O_RDONLY, Mode::empty()) {
            Ok(file) => Some((file.into(), size)),
            Err(Errno::ENOENT) => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// A file may be missing in a folder only after another has taken its place.
    fn check_missing(&self, folder: &OwnedFd, missing: bool) {
        let now = stat(&self.target.join("..data/")).expect("..data leads to a folder");
        assert!(
            !missing || fstat(folder).unwrap().st_ino != now.st_ino,
            "a file is missing in the generation in place"
        );
    }
}

fn generation((mut file, size): (File, usize)) -> usize {
    let mut contents = Vec::new();
    file.read_to_end(&mut contents).unwrap();
    generation_of(&contents, size)
}

/// Where a mount was when it was killed.
#[derive(Debug, Default)]
struct Landed {
    before_the_swap: usize,
    after_the_swap: usize,
    elsewhere: usize,
}

impl Landed {
    /// Counts a kill by what it left: never more than one folder, since each mount begins with removing
    /// what the one before left. Returns whether it landed in the writing.
    fn count(&mut self, volume: &Volume, before: &Path) -> bool {
        let data = volume.generation();
        let left = folders(volume).into_iter().filter(|name| *name != data).collect::<Vec<_>>();
        assert!(left.len() <= 1, "{left:?} is left beside {}", data.display());
        match left.first() {
            None => self.elsewhere += 1,
            Some(left) if left == before => self.after_the_swap += 1,
            Some(_) => self.before_the_swap += 1,
        }
        !left.is_empty()
    }
}

/// The writer's folders.
fn folders(volume: &Volume) -> Vec<PathBuf> {
    let names =
        std::fs::read_dir(volume.path()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    names.filter(|name| name.to_string_lossy().starts_with("..2")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_sees_one_whole_generation_whenever_the_writer_is_killed() {
    let mut seed = seed();
    for (name, size) in SIZES {
        seed.vaults[0].secrets.push(Secret::new(name, value(0, size)));
    }
    let emulator = Emulator::start(seed).await.unwrap();
    let (folder, volume) = (tempfile::tempdir().unwrap(), Volume::shared());
    let start = || Provider::start(&emulator, folder.path(), &["--file-writer=provider"]);
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
    let mut landed = Landed::default();
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
        // How long writing takes depends on the machine, and on what else it does just now.
        longest = longest.mul_f64(if landed.count(&volume, &before) { 1.1 } else { 0.9 });
        assert!(!reading.is_finished(), "the reader has seen something that must not be: {landed:?}");
    }
    start().mount(&claim(&emulator, &volume)).await.unwrap();
    over.store(true, Ordering::Relaxed);
    let passes = reading.join().expect("the reader has seen whole generations only");
    assert_eq!(folders(&volume), [volume.generation()], "the next mount removes what is left");
    assert!(std::fs::symlink_metadata(volume.path().join("..data_tmp")).is_err());
    println!("{landed:?}, {passes} passes");
    assert!(landed.before_the_swap >= KILLS / 10, "{landed:?}");
    assert!(landed.after_the_swap > 0, "{landed:?}");
    assert!(passes > KILLS, "{passes}");
}
