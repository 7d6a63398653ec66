//! What the providers write into their logs.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::Result;
use crate::findings::{Findings, lock};
use crate::objects::MARK;

/// How every token begins.
const TOKEN: &str = "eyJ";

/// From where else than the vault a mount was served, by the provider's own word.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) stale: bool,
    pub(crate) failover: bool,
}

/// The logs of all processes so far, read as far as they are written.
#[derive(Default)]
pub(crate) struct Logs(Mutex<State>);

#[derive(Default)]
struct State {
    /// With what is there of an unfinished line.
    files: Vec<(File, Vec<u8>)>,
    said: HashMap<String, Said>,
}

impl Logs {
    pub(crate) fn add(&self, path: &Path) -> Result<()> {
        lock(&self.0).files.push((File::open(path)?, Vec::new()));
        Ok(())
    }

    /// What was said of the mounts of this pod since it was asked last. A provider writes its lines before
    /// it answers.
    pub(crate) fn said(&self, pod: &str, findings: &Findings) -> Result<Said> {
        let mut state = lock(&self.0);
        let State { files, said } = &mut *state;
        for (file, line) in files {
            let mut text = std::mem::take(line);
            file.read_to_end(&mut text)?;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            *line = text.split_off(whole);
            for line in String::from_utf8_lossy(&text).lines() {
                read(line, said, findings);
            }
        }
        Ok(said.remove(pod).unwrap_or_default())
    }
}

fn read(line: &str, said: &mut HashMap<String, Said>, findings: &Findings) {
    if let Some(what) = leak(line) {
        findings.add(format!("the log contains {what}"));
    }
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        // A panic, above all.
        return findings.add(format!("the log has a line that is not JSON: {line}"));
    };
    if line.contains("has a bug") || line.contains("panicked") {
        findings.add(format!("the log reports a defect: {line}"));
    }
    let served = |what| value.get(what).and_then(Value::as_u64).is_some_and(|objects| objects > 0);
    let now = Said { stale: served("stale"), failover: served("replica") };
    let pod = value.get("span").and_then(|span| span.get("pod")).and_then(Value::as_str);
    if let Some(pod) = pod.filter(|_| now != Said::default()) {
        let before = said.entry(pod.to_owned()).or_default();
        *before = Said { stale: before.stale || now.stale, failover: before.failover || now.failover };
    }
}

/// What must not be in any text that leaves the provider but in a file.
pub(crate) fn leak(text: &str) -> Option<&'static str> {
    [(MARK, "a secret"), (TOKEN, "a token")]
        .into_iter()
        .find_map(|(mark, what)| text.contains(mark).then_some(what))
}
