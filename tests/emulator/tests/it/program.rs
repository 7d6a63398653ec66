//! The emulator as a program.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
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

fn start(scratch: &Scratch, seed: &str, listen: &str, more: &[&str]) -> Child {
    std::fs::write(scratch.file("seed.yaml"), seed).unwrap();
    Command::new(env!("CARGO_BIN_EXE_keyvault-emulator"))
        .arg("--seed")
        .arg(scratch.file("seed.yaml"))
        .args(["--listen", listen, "--proxy-listen", "127.0.0.1:0"])
        .arg("--ca-file")
        .arg(scratch.file("ca.pem"))
        .arg("--env-file")
        .arg(scratch.file("env"))
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn it_says_where_it_serves_and_ends_cleanly_when_it_is_told_to() {
    let scratch = Scratch::new("serves");
    let mut child =
        start(&scratch, "vaults: [{name: my-vault}]", "127.0.0.1:0", &["--admin-listen=127.0.0.1:0"]);
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
        "KEYVAULT_EMULATOR_ADMIN_URL",
    ];
    assert_eq!(keys, expected);
    let ca = std::fs::read_to_string(scratch.file("ca.pem")).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));

    stop(child);
}

fn stop(mut child: Child) {
    let kill = Command::new("/bin/sh")
        .args(["-c", "kill \"$@\"", "kill"])
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn faults_come_from_the_command_line_and_from_a_file() {
    let scratch = Scratch::new("faults");
    let file = scratch.file("faults.yaml");
    std::fs::write(&file, "- {target: imds, fault: gateway, status: 502}").unwrap();
    let faults = format!("--faults={}", file.display());
    let imds = "--fault=target=imds,fault=throttle,retry-after=9s,times=1";
    let mut child = start(&scratch, "vaults: []", "127.0.0.1:0", &[&faults, imds]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let env = std::fs::read_to_string(scratch.file("env")).unwrap();
    let address = env.split_once("IMDS_URL=http://").unwrap().1.lines().next().unwrap();
    let answer = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let first = answer();
    assert!(first.starts_with("HTTP/1.1 429 ") && first.contains("retry-after: 9"), "{first}");
    assert!(answer().starts_with("HTTP/1.1 502 "));
    stop(child);
}

#[test]
fn a_wrong_fault_is_refused_with_its_place_and_its_mend() {
    let scratch = Scratch::new("wrong-faults");
    let file = scratch.file("faults.yaml");
    std::fs::write(&file, "- {target: imds, fault: hang}\n- {target: imds, fault: hang, times: none}")
        .unwrap();
    for (argument, words) in [
        ("--fault=vault=a,fault=latency".to_owned(), "delay: required by this fault; set delay=…"),
        (
            format!("--faults={}", file.display()),
            "faults.yaml: [1].times: \"none\" is invalid; use a whole number",
        ),
    ] {
        let mut child = start(&scratch, "vaults: []", "127.0.0.1:0", &[&argument]);
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn it_refuses_a_wrong_seed_and_an_address_beyond_loopback() {
    for (seed, listen, words) in [
        ("vaults: [{nom: my-vault}]", "127.0.0.1:0", "nom"),
        ("vaults: []", "0.0.0.0:0", "set --allow-non-loopback"),
    ] {
        let scratch = Scratch::new("refuses");
        std::fs::write(scratch.file("env"), "left behind").unwrap();
        let mut child = start(&scratch, seed, listen, &[]);
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(message.contains(words), "{message}");
        assert!(!scratch.file("env").exists());
    }
}
