//! The command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use keyvault_emulator::{RequestKind, Rule};

/// Plays the Secrets Store CSI driver for many pods, and says how long their mounts take and what they cost.
#[derive(Debug, Parser)]
#[command(name = "load")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Options {
    /// How many pods mount
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) pods: u32,
    /// How many objects each of them mounts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) objects: u32,
    /// Every pod mounts objects of its own; else all mount the same
    #[arg(long)]
    pub(crate) distinct: bool,
    /// Bytes of each object; Key Vault's limit is 25600
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=25_600))]
    pub(crate) value_size: u32,
    /// How many service accounts the pods have in turn, each an identity of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) identities: u32,
    /// When pods start: all at once, at a rate that rises from nothing to --rate, or at --rate
    #[arg(long, value_enum, default_value = "burst")]
    pub(crate) pattern: Pattern,
    /// Pods per second, for ramp and steady
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// How often every mount is repeated, as kubelet does for rotation; a round begins when the one before ended
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) rounds: u32,
    /// Every answer of a vault comes this much later
    #[arg(long, value_name = "DURATION")]
    pub(crate) vault_latency: Option<humantime::Duration>,
    /// What goes wrong, as keyvault-emulator --help has it, such as
    /// target=vaults,fault=limit,requests=4000,per=10s; may be repeated
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub(crate) fault: Vec<Rule>,
    /// Let this program's own provider write the files, into folders of /dev/shm
    #[arg(long)]
    pub(crate) file_writer: bool,
    /// Keep the cluster's public keys from the provider: then a token is proven by Entra alone
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// Mount these parameters of a `SecretProviderClass` (YAML) from the Azure that the environment leads to, in
    /// the place of emulated ones
    #[arg(long, value_name = "FILE", requires = "token_file", conflicts_with_all = ["objects", "distinct", "value_size", "identities", "vault_latency", "fault", "without_keys", "env_file"])]
    pub(crate) parameters: Option<PathBuf>,
    /// The service account token of all pods: what kubectl create token prints, or kubelet's JSON of several
    #[arg(long, value_name = "FILE", requires = "parameters")]
    pub(crate) token_file: Option<PathBuf>,
    /// The admin endpoint of a keyvault-emulator that runs elsewhere, for counts of requests
    #[arg(long, value_name = "URL", requires = "parameters")]
    pub(crate) admin: Option<String>,
    /// Another provider to start under the same load; may be repeated
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) program: Vec<Named<String>>,
    /// A provider that runs, or that is started when --env-file is there; may be repeated
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) socket: Vec<Named<String>>,
    /// Its process, if it is not the one that listens
    #[arg(long, value_name = "NAME=PID", requires = "socket")]
    pub(crate) pid: Vec<Named<i32>>,
    /// Where to write the environment that leads a provider to the emulated Azure
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Leave this program's own provider out
    #[arg(long)]
    pub(crate) without_own: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail if a run makes more requests, of this kind or in all; may be repeated
    #[arg(long, value_name = "[KIND=]N")]
    pub(crate) expect_requests_at_most: Vec<AtMost>,
    /// Flags of this program's own provider
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
    /// Finds what no single option could know.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.pattern, self.rate) {
            (Pattern::Burst, Some(_)) => {
                return Err(
                    "--rate: a burst has none; leave it out, or choose --pattern ramp or steady".into()
                );
            }
            (Pattern::Ramp | Pattern::Steady, None) => {
                return Err("--pattern: ramp and steady need --rate, in pods per second".into());
            }
            (_, Some(rate)) if !(0.001..=1e6).contains(&rate) => {
                return Err(format!("--rate: {rate} will not do; write 0.001 to 1000000 pods per second"));
            }
            _ => {}
        }
        if self.without_own && self.program.is_empty() && self.socket.is_empty() {
            return Err("--without-own: there is nobody else; name one with --program or --socket".into());
        }
        for (option, given) in [
            ("--", !self.provider_flags.is_empty()),
            ("--file-writer", self.file_writer),
            ("--without-keys", self.without_keys),
        ] {
            if given && self.without_own {
                return Err(format!("{option}: --without-own leaves out whom this is for; leave out either"));
            }
        }
        if self.distinct && self.pods.saturating_mul(self.objects) > 1_000_000 {
            return Err("--distinct: more than 1000000 objects; take fewer pods or --objects".into());
        }
        if !self.expect_requests_at_most.is_empty() && self.parameters.is_some() && self.admin.is_none() {
            return Err(
                "--expect-requests-at-most: nobody counts requests; name an emulator's --admin".into()
            );
        }
        if let Some(program) = self.program.iter().find(|program| !Path::new(&program.value).is_file()) {
            return Err(format!("--program: {}: there is no such file", program.value));
        }
        let own = (!self.without_own).then_some("own").into_iter();
        let others = self.program.iter().chain(&self.socket).map(|named| named.name.as_str());
        let names: Vec<&str> = own.chain(others).collect();
        let twice =
            names.iter().enumerate().find(|(index, name)| names.iter().take(*index).any(|n| n == *name));
        if let Some((_, name)) = twice {
            return Err(format!("--program, --socket: {name:?} is there twice; name each differently"));
        }
        let stray = self.pid.iter().find(|pid| !self.socket.iter().any(|socket| socket.name == pid.name));
        stray.map_or(Ok(()), |pid| Err(format!("--pid: no --socket is called {:?}", pid.name)))
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
        let value = value.parse().map_err(|_| format!("{value:?} is no number of a process"))?;
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
                    Some(known.ok_or_else(|| format!("{name:?} is no kind; write one of {}", choices()))?),
                    number,
                )
            }
        };
        let requests = number.parse().map_err(|_| format!("{number:?} is no number of requests"))?;
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
    fn options_that_do_not_go_together_are_refused_with_a_mend() {
        for (arguments, words) in [
            ("--rate 5", "--rate: a burst has none; leave it out"),
            ("--pattern steady", "need --rate"),
            ("--pattern ramp --rate NaN", "--rate: NaN will not do; write 0.001"),
            ("--without-own", "there is nobody else; name one with"),
            ("--without-own --socket a=/a --file-writer", "--file-writer: --without-own leaves out whom"),
            ("--program a=/nowhere", "--program: /nowhere: there is no such file"),
            ("--socket own=/a", "\"own\" is there twice"),
            ("--socket a=/a --pid b=1", "no --socket is called \"b\""),
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
        assert!("secrets=60".parse::<AtMost>().unwrap_err().contains("write one of token, "));
        assert!("secret=many".parse::<AtMost>().is_err());
    }
}
