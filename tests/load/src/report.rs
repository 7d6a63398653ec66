//! What is said at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::ValueEnum as _;
use keyvault_emulator::RequestKind;
use provider_launcher::Usage;
use serde::Serialize;
use serde_json::json;

use crate::azure::Counts;
use crate::drive::{Driven, Failure};
use crate::figures::Times;
use crate::options::Options;

/// Characters of a message beside a table; JSON has them all.
const LONGEST_MESSAGE: usize = 300;

/// What one provider did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) mounts: usize,
    pub(crate) failed: usize,
    wall_seconds: f64,
    #[serde(flatten)]
    usage: Usage,
    /// Milliseconds of the pods' first mounts.
    first: Option<Times>,
    /// Milliseconds of the repeated ones.
    repeated: Option<Times>,
    /// Requests by kind, if counts are available.
    requests: Option<BTreeMap<String, u64>>,
    /// TLS handshakes, if counts are available.
    connections: Option<u64>,
    /// The first of them.
    failures: Vec<Failure>,
}

impl Run {
    pub(crate) fn new(name: &str, driven: &Driven, counts: Option<Counts>, usage: Usage) -> Self {
        let counts = counts.map(|counts| (counts.answered, counts.connections));
        let (requests, connections) = counts.unzip();
        Self {
            name: name.to_owned(),
            mounts: driven.first.len() + driven.repeated.len() + driven.failed,
            failed: driven.failed,
            wall_seconds: driven.wall.as_secs_f64(),
            usage,
            first: Times::of(&driven.first),
            repeated: Times::of(&driven.repeated),
            requests,
            connections,
            failures: driven.failures.clone(),
        }
    }

    /// Requests of this kind, or of all.
    pub(crate) fn count(&self, kind: Option<RequestKind>) -> u64 {
        let counted = self.requests.iter().flatten();
        counted.filter(|(name, _)| kind.is_none_or(|kind| kind.name() == *name)).map(|(_, count)| count).sum()
    }
}

pub(crate) fn json(options: &Options, runs: &[Run]) -> String {
    let pattern = options.pattern.to_possible_value().map(|value| value.get_name().to_owned());
    let mut load = json!({
        "pods": options.pods,
        "pattern": pattern,
        "rate": options.rate,
        "rounds": options.rounds,
        "fileWriter": options.file_writer,
    });
    if let (None, Some(load)) = (&options.parameters, load.as_object_mut()) {
        load.insert(
            "vaultLatencyMs".to_owned(),
            options.vault_latency.map(|delay| delay.as_secs_f64() * 1000.0).into(),
        );
        load.insert("objects".to_owned(), options.objects.into());
        load.insert("distinct".to_owned(), options.distinct.into());
        load.insert("valueSize".to_owned(), options.value_size.into());
        load.insert("identities".to_owned(), options.identities.into());
    }
    format!("{:#}", json!({"load": load, "runs": runs}))
}

pub(crate) fn table(options: &Options, runs: &[Run]) -> String {
    let mut text = described(options);
    text.push_str("\n\n");
    let mut rows = vec![Row::heading(runs)];
    rows.extend(times("first mounts", runs, |run| run.first));
    if options.rounds > 0 {
        rows.extend(times("repeated mounts", runs, |run| run.repeated));
    }
    rows.push(Row::new("wall time, s", runs, 2, |run| Some(run.wall_seconds)));
    rows.push(Row::new("CPU time, s", runs, 2, |run| Some(run.usage.cpu_seconds)));
    rows.push(Row::new("peak memory, MiB", runs, 1, |run| Some(count(run.usage.peak_rss_kib) / 1024.0)));
    rows.push(Row::new("mounts", runs, 0, |run| Some(count(run.mounts as u64))));
    rows.push(Row::new("mounts failed", runs, 0, |run| Some(count(run.failed as u64))));
    let kinds: BTreeSet<&String> =
        runs.iter().filter_map(|run| run.requests.as_ref()).flat_map(|all| all.keys()).collect();
    for kind in kinds {
        let of =
            |run: &Run| run.requests.as_ref().map(|all| count(all.get(kind).copied().unwrap_or_default()));
        rows.push(Row::new(&format!("requests: {kind}"), runs, 0, of));
    }
    rows.push(Row::new("TLS connections", runs, 0, |run| run.connections.map(count)));
    for Row { label, cells } in rows {
        let _ = write!(text, "{label:<24}");
        for cell in cells {
            let _ = write!(text, "{cell:>14}");
        }
        text.push('\n');
    }
    for run in runs {
        for Failure { code, message } in &run.failures {
            let start: String = message.chars().take(LONGEST_MESSAGE).collect();
            let rest = if start.len() < message.len() { "…" } else { "" };
            let _ = write!(text, "\n{}: {code}: {start}{rest}", run.name);
        }
        if run.failed > run.failures.len() {
            let _ = write!(text, "\n{}: … and {} more", run.name, run.failed - run.failures.len());
        }
    }
    text.trim_end().to_owned()
}

fn described(options: &Options) -> String {
    let Options { pods, objects, value_size, identities, rounds, .. } = options;
    let mut text = match &options.parameters {
        Some(path) => format!("{pods} pods with the parameters of {}", path.display()),
        None => {
            let whose = if options.distinct { " of its own" } else { "" };
            format!(
                "{pods} pods of {identities} service accounts, each with {objects} objects{whose} of {value_size} bytes"
            )
        }
    };
    let pattern = options.pattern.to_possible_value();
    let _ = write!(text, "; {}", pattern.as_ref().map_or("", |value| value.get_name()));
    if let Some(rate) = options.rate {
        let _ = write!(text, " {rate}/s");
    }
    if *rounds > 0 {
        let _ = write!(text, ", repeated {rounds} times");
    }
    text
}

/// A figure of all runs, and how many times the first run's the others' are.
struct Row {
    label: String,
    cells: Vec<String>,
}

impl Row {
    fn heading(runs: &[Run]) -> Self {
        let first = runs.first().map_or("", |run| &run.name);
        let names = runs.iter().map(|run| run.name.clone());
        let ratios = runs.iter().skip(1).map(|run| format!("{}/{first}", run.name));
        Self { label: String::new(), cells: names.chain(ratios).collect() }
    }

    fn new(label: &str, runs: &[Run], decimals: usize, figure: impl Fn(&Run) -> Option<f64>) -> Self {
        let figures: Vec<Option<f64>> = runs.iter().map(figure).collect();
        let shown =
            |figure: &Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.decimals$}"));
        let first = figures.first().copied().flatten();
        let ratio = |figure: &Option<f64>| match (first, *figure) {
            (Some(first), Some(figure)) if first > 0.0 => format!("{:.2}", figure / first),
            _ => "-".to_owned(),
        };
        let cells = figures.iter().map(shown).chain(figures.iter().skip(1).map(ratio)).collect();
        Self { label: label.to_owned(), cells }
    }
}

fn times(label: &str, runs: &[Run], of: impl Fn(&Run) -> Option<Times>) -> Vec<Row> {
    let row = |name: &str, figure: fn(Times) -> f64| {
        Row::new(&format!("{label} {name}, ms"), runs, 1, |run| of(run).map(figure))
    };
    vec![
        row("p50", |times| times.p50),
        row("p95", |times| times.p95),
        row("p99", |times| times.p99),
        row("max", |times| times.max),
    ]
}

/// A count as a figure; exact up to 2⁵³, of which there will not be that many.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;

    fn run(name: &str, milliseconds: u64, cpu_seconds: f64) -> Run {
        let mut driven = Driven { first: vec![Duration::from_millis(milliseconds); 4], ..Driven::default() };
        driven.wall = Duration::from_secs(2);
        let answered = [("secret".to_owned(), 8), ("token".to_owned(), 1)].into();
        let counts = Counts { answered, connections: 2 };
        Run::new(
            name,
            &driven,
            Some(counts),
            Usage { cpu_seconds, peak_rss_kib: 2048, rss_kib: 1024, descriptors: 9 },
        )
    }

    #[test]
    fn runs_stand_side_by_side_with_their_ratio() {
        let options = Options::parse_from(["load", "--pods", "4"]);
        let text = table(&options, &[run("own", 10, 0.0), run("other", 25, 1.5)]);
        let row = |label: &str| {
            let line = text.lines().find(|line| line.starts_with(label)).unwrap();
            line.trim_start_matches(label).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(text.starts_with("4 pods of 1 service accounts"), "{text}");
        assert_eq!(row("first mounts p50, ms"), "10.0 25.0 2.50");
        assert_eq!(row("CPU time, s"), "0.00 1.50 -");
        assert_eq!(row("peak memory, MiB"), "2.0 2.0 1.00");
        assert_eq!(row("requests: secret"), "8 8 1.00");
        assert!(text.contains("other/own"), "{text}");
    }

    #[test]
    fn failures_and_requests_beyond_their_bounds_are_complained_about() {
        let mut run = run("own", 10, 1.0);
        let complaints = |run: &Run, bound: &str| {
            crate::expect::complaints(&[bound.parse().unwrap()], std::slice::from_ref(run)).join("; ")
        };
        assert_eq!(complaints(&run, "9"), "");
        assert_eq!(complaints(&run, "8"), "own: 9 requests in all, not 8 at most");
        assert_eq!(complaints(&run, "token=1"), "");
        assert_eq!(complaints(&run, "secret=7"), "own: 8 requests of kind secret, not 7 at most");
        run.failed = 1;
        assert_eq!(complaints(&run, "9"), "own: 1 of 4 mounts failed");
    }
}
