//! The report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyvault_csi_provider::deliver::FileWriter;
use provider_launcher::Usage;

use crate::findings::lock;

/// Mounts by result, and retries of the driver.
#[derive(Default)]
pub(crate) struct Tally {
    mounts: Mutex<BTreeMap<&'static str, usize>>,
    repeated: AtomicUsize,
}

impl Tally {
    pub(crate) fn mount(&self, outcome: &'static str) {
        *lock(&self.mounts).entry(outcome).or_default() += 1;
    }

    pub(crate) fn asked_again(&self, times: usize) {
        self.repeated.fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Relaxed)
    }

    pub(crate) fn mounts(&self) -> BTreeMap<String, usize> {
        lock(&self.mounts).iter().map(|(outcome, mounts)| ((*outcome).to_owned(), *mounts)).collect()
    }
}

/// Results of one run.
pub(crate) struct Report {
    pub(crate) writer: FileWriter,
    pub(crate) mounts: BTreeMap<String, usize>,
    pub(crate) repeated: usize,
    pub(crate) injected: BTreeMap<String, usize>,
    pub(crate) requests: usize,
    pub(crate) restarted: usize,
    pub(crate) killed: usize,
    /// Of the first process before it was asked, of the last one when it was warm, and when it was idle.
    pub(crate) usage: [Usage; 3],
    pub(crate) findings: (usize, Vec<String>),
}

pub(crate) fn table(reports: &[Report]) -> String {
    let mut text = String::new();
    let writer = |report: &Report| match report.writer {
        FileWriter::Driver => "driver".to_owned(),
        FileWriter::Provider => "provider".to_owned(),
    };
    row(&mut text, "files written by the", reports, writer);
    row(&mut text, "mounts", reports, |report| report.mounts.values().sum::<usize>().to_string());
    counts(&mut text, reports, |report| &report.mounts);
    row(&mut text, "asked again by the driver", reports, |report| report.repeated.to_string());
    row(&mut text, "faults injected", reports, |report| report.injected.values().sum::<usize>().to_string());
    counts(&mut text, reports, |report| &report.injected);
    row(&mut text, "requests answered", reports, |report| report.requests.to_string());
    row(&mut text, "restarts", reports, |report| report.restarted.to_string());
    row(&mut text, "  by SIGKILL", reports, |report| report.killed.to_string());
    row(&mut text, "CPU time of the last third, s", reports, |report| {
        let [_, warm, idle] = report.usage;
        format!("{:.1}", idle.since(&warm).cpu_seconds)
    });
    let usage = |figure: fn(&Usage) -> String| {
        move |report: &Report| report.usage.iter().map(figure).collect::<Vec<_>>().join(", ")
    };
    row(&mut text, "descriptors: new, busy, idle", reports, usage(|usage| usage.descriptors.to_string()));
    row(&mut text, "memory, MiB: new, busy, idle", reports, usage(|usage| (usage.rss_kib >> 10).to_string()));
    text
}

/// A row for each of what any of the runs has counted.
fn counts(text: &mut String, reports: &[Report], of: impl Fn(&Report) -> &BTreeMap<String, usize>) {
    let labels: BTreeSet<&String> = reports.iter().flat_map(|report| of(report).keys()).collect();
    for label in labels {
        let count = |report: &Report| of(report).get(label).copied().unwrap_or_default().to_string();
        row(text, &format!("  {label}"), reports, count);
    }
}

fn row(text: &mut String, label: &str, reports: &[Report], figure: impl Fn(&Report) -> String) {
    let _ = write!(text, "{label:<32}");
    for report in reports {
        let _ = write!(text, "{:>18}", figure(report));
    }
    text.push('\n');
}
