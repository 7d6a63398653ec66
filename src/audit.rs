//! The audit log: one JSON line for each object that a mount delivered or refused.
//!
//! Mounts never wait for the log. Lines go through a queue to a thread of their own, and each namespace has a share
//! of the queue, so that a flood of lines from one namespace does not displace the lines of others. Lines that cannot
//! be queued or written are counted.

mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

pub use record::{AuditedIdentity, AuditedPod, Record};

use crate::fair::FairQueue;
use crate::telemetry::{LostLine, Metrics};
use crate::tenant::Tenant;
use writer::{Batch, Message, Writer};

/// Bytes of lines that wait for the writer, for all namespaces and for those below their share.
const OPEN: u64 = 2 << 20;
const RESERVE: u64 = 6 << 20;
/// Bytes of the lines that are queued together.
const BATCH: usize = 64 << 10;

/// Where audit lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, which is appended to.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// The audit log.
#[derive(Debug)]
pub struct AuditLog {
    queue: FairQueue,
    writer: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread cannot be started.
    pub fn open(destination: Destination, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let writer = Writer::open(destination, Arc::clone(&metrics))?;
        // Counters start at 0, so that the first lost line is an increase.
        for reason in [LostLine::QueueFull, LostLine::WriteFailed] {
            metrics.audit_lines_lost(reason, 0);
        }
        let (sender, messages) = mpsc::channel();
        std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run(&messages))
            .context("cannot start the thread of the audit log")?;
        Ok(Self { queue: FairQueue::new(OPEN, RESERVE), writer: sender, metrics })
    }

    /// Writes records of `tenant`, in their order. Does not wait.
    pub fn write<'a>(&self, tenant: &Tenant, records: impl IntoIterator<Item = Record<'a>>) {
        let (mut text, mut lines) = (Vec::new(), 0);
        for record in records {
            record.append_to(&mut text);
            lines += 1;
            if text.len() >= BATCH {
                self.queue(tenant, std::mem::take(&mut text), std::mem::take(&mut lines));
            }
        }
        if lines > 0 {
            self.queue(tenant, text, lines);
        }
    }

    fn queue(&self, tenant: &Tenant, text: Vec<u8>, lines: u64) {
        let Some(permit) = self.queue.try_acquire(tenant, text.len() as u64) else {
            self.metrics.audit_lines_lost(LostLine::QueueFull, lines);
            return;
        };
        let batch = Batch { text, lines, _permit: permit };
        if self.writer.send(Message::Write(batch)).is_err() {
            self.metrics.audit_lines_lost(LostLine::WriteFailed, lines);
        }
    }

    /// Opens the file again: a log rotation has moved it away.
    pub fn reopen(&self) {
        let _ = self.writer.send(Message::Reopen);
    }

    /// Waits until everything that was queued has been written, but at most `longest`.
    pub async fn flush(&self, longest: Duration) {
        let (done, written) = oneshot::channel();
        if self.writer.send(Message::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(longest, written).await;
        }
    }
}
