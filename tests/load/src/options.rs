//! The command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use keyvault_emulator::{RequestKind, Rule};

/// Mount volumes for many pods, as the Secrets Store CSI driver does, and measure latency and resource use
#[derive(Debug, Parser)]
#[command(name = "load")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Options {
    /// Number of pods
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) pods: u32,
    /// Number of objects per pod
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) objects: u32,
    /// Use different objects for each pod, instead of the same for all
    #[arg(long)]
    pub(crate) distinct: bool,
    /// Size of each object in bytes; Key Vault's limit is 25600
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=25_600))]
    pub(crate) value_size: u32,
    /// Number of service accounts that the pods use in turn, each with its own identity
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) identities: u32,
    /// When pods start: all at once, at a rate that rises from 0 to --rate, or at --rate
    #[arg(long, value_enum, default_value = "burst")]
    pub(crate) pattern: Pattern,
    /// Pods per second, for ramp and steady
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Number of times to repeat every mount, as kubelet does for rotation; each round starts after the previous one ends
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) rounds: u32,
    /// Latency to add to every answer of a vault
    #[arg(long, value_name = "DURATION")]
    pub(crate) vault_latency: Option<humantime::Duration>,
    /// Fault to inject (see keyvault-emulator --help), such as target=vaults,fault=limit,requests=4000,per=10s; may be
    /// repeated
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub(crate) fault: Vec<Rule>,
    /// Run the built-in provider with --file-writer=provider, into directories in /dev/shm
    #[arg(long)]
    pub(crate) file_writer: bool,
    /// Start the provider without the cluster's public keys: then only Entra proves a token
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// File with the parameters of a `SecretProviderClass` (YAML) to mount from an external Azure, instead of the
    /// emulator
    #[arg(long, value_name = "FILE", requires = "token_file", conflicts_with_all = ["objects", "distinct", "value_size", "identities", "vault_latency", "fault", "without_keys", "env_file"])]
    pub(crate) parameters: Option<PathBuf>,
    /// File with the service account token of all pods: the output of kubectl create token, or kubelet's JSON
    #[arg(long, value_name = "FILE", requires = "parameters")]
    pub(crate) token_file: Option<PathBuf>,
    /// Admin endpoint of an external keyvault-emulator, for counts of requests
    #[arg(long, value_name = "URL", requires = "parameters")]
    pub(crate) admin: Option<String>,
    /// Another provider to start under the same load; may be repeated
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) program: Vec<Named<String>>,
    /// Socket of a running provider, or of one that starts after --env-file is written; may be repeated
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) socket: Vec<Named<String>>,
    /// Process of a --socket, if it is not the one that listens
    #[arg(long, value_name = "NAME=PID", requires = "socket")]
    pub(crate) pid: Vec<Named<i32>>,
    /// File to write a provider's environment for the emulator to
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Do not start the built-in provider
    #[arg(long)]
    pub(crate) without_own: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail if a run makes more requests of this kind, or in total; may be repeated
    #[arg(long, value_name = "[KIND=]N")]
    pub(crate) expect_requests_at_most: Vec<AtMost>,
    /// Flags of the built-in provider
    #[arg(last = true)]
    pub(crate) provider_flags: Vec<String>,
}

/// When pods start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    Burst,
    Ramp,
    Steady,
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) value: T,
}

/// A bound on requests, of one kind or of all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtMost {
    pub(crate) kind: Option<RequestKind>,
    pub(crate) requests: u64,
}

impl Options {
    /// Checks options that depend on each other.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.pattern, self.rate) {
            (Pattern::Burst, Some(_)) => {
                return Err(
                    "--rate: not used by --pattern burst; remove it, or use --pattern ramp or steady".into(),
                );
            }
            (Pattern::Ramp | Pattern::Steady, None) => {
                return Err("--pattern: ramp and steady need --rate, in pods per second".into());
            }
            (_, Some(rate)) if !(0.001..=1e6).contains(&rate) => {
                return Err(format!("--rate: {rate} is out of range; use 0.001 to 1000000 pods per second"));
            }
            _ => {}
        }
        if self.without_own && self.program.is_empty() && self.socket.is_empty() {
            return Err("--without-own: no provider left to test; set --program or --socket".into());
        }
        for (option, given) in [
            ("--", !self.provider_flags.is_empty()),
            ("--file-writer", self.file_writer),
            ("--without-keys", self.without_keys),
        ] {
            if given && self.without_own {
                return Err(format!("{option}: cannot be used with --without-own; remove one of them"));
            }
        }
        if self.distinct && self.pods.saturating_mul(self.objects) > 1_000_000 {
            return Err("--distinct: more than 1000000 objects; reduce --pods or --objects".into());
        }
        if !self.expect_requests_at_most.is_empty() && self.parameters.is_some() && self.admin.is_none() {
            return Err("--expect-requests-at-most: no counts of requests available; set --admin".into());
        }
        if let Some(program) = self.program.iter().find(|program| !Path::new(&program.value).is_file()) {
            return Err(format!("--program: {}: no such file", program.value));
        }
        let own = (!self.without_own).then_some("own").into_iter();
        let others = self.program.iter().chain(&self.socket).map(|named| named.name.as_str());
        let names: Vec<&str> = own.chain(others).collect();
        let twice =
            names.iter().enumerate().find(|(index, name)| names.iter().take(*index).any(|n| n == *name));
        if let Some((_, name)) = twice {
            return Err(format!("--program, --socket: duplicate name {name:?}; use different names"));
        }
        let stray = self.pid.iter().find(|pid| !self.socket.iter().any(|socket| socket.name == pid.name));
        stray.map_or(Ok(()), |pid| Err(format!("--pid: no --socket has the name {:?}", pid.name)))
    }

    /// When each pod starts, from the start of a round.
    pub(crate) fn starts(&self) -> Vec<Duration> {
        let rate = self.rate.unwrap_or(f64::INFINITY);
        let at = |index: u32| match self.pattern {
            Pattern::Burst => 0.0,
            Pattern::Steady => f64::from(index) / rate,
            // After t of T seconds rate·t²/2T pods have started: all of them after T = 2·pods/rate.
            Pattern::Ramp => 2.0 / rate * f64::from(self.pods).sqrt() * f64::from(index).sqrt(),
        };
        (0..self.pods).map(|index| Duration::from_secs_f64(at(index))).collect()
    }
}

impl<T: FromStr> FromStr for Named<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let (name, value) = named.ok_or("write NAME=, and then what it is")?;
        let value = value.parse().map_err(|_| format!("{value:?} is not a process ID"))?;
        Ok(Self { name: name.to_owned(), value })
    }
}

impl FromStr for AtMost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, number) = match text.split_once('=') {
            None => (None, text),
            Some((name, number)) => {
                let known = RequestKind::ALL.into_iter().find(|kind| kind.name() == name);
                let choices = || RequestKind::ALL.map(RequestKind::name).join(", ");
                (
                    Some(known.ok_or_else(|| {
                        format!("{name:?} is not a kind of request; use one of {}", choices())
                    })?),
                    number,
                )
            }
        };
        let requests = number.parse().map_err(|_| format!("{number:?} is not a number of requests"))?;
        Ok(Self { kind, requests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &str) -> Options {
        Options::try_parse_from(std::iter::once("load").chain(arguments.split_whitespace())).unwrap()
    }

    #[test]
    fn pods_start_as_the_pattern_says() {
        let starts = |arguments| options(arguments).starts().into_iter().map(|at| at.as_secs_f64());
        assert!(starts("--pods 3").eq([0.0, 0.0, 0.0]));
        assert!(starts("--pods 3 --pattern steady --rate 2").eq([0.0, 0.5, 1.0]));
        let ramp: Vec<f64> = starts("--pods 100 --pattern ramp --rate 10").collect();
        // All of them in 20 s, a quarter of them in the first half, at the end about 10 in a second.
        let by = |second: f64| ramp.iter().filter(|at| **at < second).count();
        assert_eq!((by(10.0), by(20.0)), (25, 100));
        assert!((9..=11).contains(&(by(20.0) - by(19.0))));
    }

    #[test]
    fn contradicting_options_are_refused_with_help() {
        for (arguments, words) in [
            ("--rate 5", "--rate: not used by --pattern burst; remove it"),
            ("--pattern steady", "need --rate"),
            ("--pattern ramp --rate NaN", "--rate: NaN is out of range; use 0.001"),
            ("--without-own", "no provider left to test; set --program"),
            ("--without-own --socket a=/a --file-writer", "--file-writer: cannot be used with --without-own"),
            ("--program a=/nowhere", "--program: /nowhere: no such file"),
            ("--socket own=/a", "duplicate name \"own\""),
            ("--socket a=/a --pid b=1", "no --socket has the name \"b\""),
        ] {
            let problem = options(arguments).check().unwrap_err();
            assert!(problem.contains(words), "{arguments}: {problem}");
        }
        assert_eq!(options("--socket a=/a --pid a=1 -- --v=2").check(), Ok(()));
    }

    #[test]
    fn a_bound_is_of_one_kind_or_of_all() {
        let secrets = AtMost { kind: Some(RequestKind::Secret), requests: 60 };
        assert_eq!("secret=60".parse(), Ok(secrets));
        assert_eq!("60".parse(), Ok(AtMost { kind: None, requests: 60 }));
        assert!("secrets=60".parse::<AtMost>().unwrap_err().contains("use one of token, "));
        assert!("secret=many".parse::<AtMost>().is_err());
    }
}
