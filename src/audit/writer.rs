//! The thread that writes the audit log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use anyhow::Context;
use tokio::sync::oneshot;

use super::Destination;
use crate::fair::Permit;
use crate::telemetry::{LostLine, Metrics};

/// Only root reads who mounts what.
const MODE: u32 = 0o600;

/// Lines that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) lines: u64,
    /// The namespace's part of the queue.
    pub(super) _permit: Permit,
}

#[derive(Debug)]
pub(super) enum Message {
    Write(Batch),
    Reopen,
    Flush(oneshot::Sender<()>),
}

/// Writes batches, and opens the file again after a failure.
pub(super) struct Writer {
    destination: Destination,
    /// `None` after a failure: the next batch opens the file again.
    output: Option<Box<dyn Write + Send>>,
    /// Whether the last write may have left a part of a line.
    is_torn: bool,
    /// Whether the last write failed, which is in the provider's log.
    has_failed: bool,
    metrics: Arc<Metrics>,
}

impl Writer {
    pub(super) fn open(destination: Destination, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let output = Some(open(&destination).with_context(|| format!("cannot open {destination}"))?);
        Ok(Self { destination, output, is_torn: false, has_failed: false, metrics })
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Write(batch) => self.write(&batch),
                Message::Reopen => self.output = None,
                Message::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, batch: &Batch) {
        match self.try_write(&batch.text) {
            Ok(()) => {
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("the audit log is written again");
                }
            }
            Err(error) => {
                self.output = None;
                self.metrics.audit_lines_lost(LostLine::WriteFailed, batch.lines);
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!("cannot write {}: {error}; audit lines are lost", self.destination);
                }
            }
        }
    }

    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        let output = match &mut self.output {
            Some(output) => output,
            closed => closed.insert(open(&self.destination)?),
        };
        if self.is_torn {
            output.write_all(b"\n")?;
        }
        self.is_torn = true;
        output.write_all(text)?;
        output.flush()?;
        self.is_torn = false;
        Ok(())
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the audit log {}", path.display()),
            Self::Stdout => f.write_str("the audit log to standard output"),
        }
    }
}

fn open(destination: &Destination) -> io::Result<Box<dyn Write + Send>> {
    Ok(match destination {
        Destination::File(path) => Box::new(open_file(path)?),
        Destination::Stdout => Box::new(io::stdout()),
    })
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}
