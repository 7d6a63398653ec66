//! The emulator as a program.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A directory of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(scratch: &Scratch, seed: &str, listen: &str) -> Child {
    std::fs::write(scratch.file("seed.yaml"), seed).unwrap();
    Command::new(env!("CARGO_BIN_EXE_keyvault-emulator"))
        .arg("--seed")
        .arg(scratch.file("seed.yaml"))
        .args(["--listen", listen, "--proxy-listen", "127.0.0.1:0"])
        .arg("--ca-file")
        .arg(scratch.file("ca.pem"))
        .arg("--env-file")
        .arg(scratch.file("env"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn it_says_where_it_serves_and_ends_cleanly_when_it_is_told_to() {
    let scratch = Scratch::new("serves");
    let mut child = start(&scratch, "vaults: [{name: my-vault}]", "127.0.0.1:0");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("serving TLS on 127.0.0.1:"), "{line}");

    let env = std::fs::read_to_string(scratch.file("env")).unwrap();
    let keys: Vec<&str> = env.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let expected = [
        "KEYVAULT_EMULATOR_URL",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "KEYVAULT_EMULATOR_ISSUER",
        "KEYVAULT_EMULATOR_IMDS_URL",
    ];
    assert_eq!(keys, expected);
    let ca = std::fs::read_to_string(scratch.file("ca.pem")).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));

    let kill = Command::new("/bin/sh")
        .args(["-c", "kill \"$@\"", "kill"])
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_refuses_a_wrong_seed_and_an_address_beyond_loopback() {
    for (seed, listen, words) in [
        ("vaults: [{nom: my-vault}]", "127.0.0.1:0", "nom"),
        ("vaults: []", "0.0.0.0:0", "0.0.0.0:0 is no loopback address"),
    ] {
        let scratch = Scratch::new("refuses");
        std::fs::write(scratch.file("env"), "left behind").unwrap();
        let mut child = start(&scratch, seed, listen);
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(message.contains(words), "{message}");
        assert!(!scratch.file("env").exists());
    }
}
