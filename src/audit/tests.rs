//! The audit log writes every line, and loses none of a namespace for another's.

use std::fs;
use std::path::Path;

use super::record::tests::record;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn open(path: &Path) -> (AuditLog, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let log = AuditLog::open(Destination::File(path.to_owned()), Arc::clone(&metrics)).unwrap();
    (log, metrics)
}

async fn write(log: &AuditLog, pod: &str) {
    log.write(&Tenant::new("shop"), [record(pod, "one"), record(pod, "two")]);
    log.flush(10 * SECOND).await;
}

fn pods(path: &Path) -> Vec<String> {
    let pod = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["pod"].to_string();
    fs::read_to_string(path).unwrap().lines().map(pod).collect()
}

#[tokio::test]
async fn lines_are_appended_and_a_rotated_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    fs::write(&path, "{\"pod\":0}\n").unwrap();
    let (log, metrics) = open(&path);
    write(&log, "a").await;
    fs::rename(&path, &rotated).unwrap();
    write(&log, "b").await;
    log.reopen();
    write(&log, "c").await;
    assert_eq!(pods(&rotated), ["0", "\"a\"", "\"a\"", "\"b\"", "\"b\""]);
    assert_eq!(pods(&path), ["\"c\"", "\"c\""]);
    assert_eq!(metrics.text().matches("lines_lost_total{").count(), 2);
    assert_eq!(metrics.text().matches("\"} 0\n").count(), 2, "{}", metrics.text());
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_an_error_that_names_it() {
    let metrics = Arc::new(Metrics::default());
    let missing = Destination::File(PathBuf::from("/proc/no/such/audit.log"));
    let error = AuditLog::open(missing, metrics).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "cannot open the audit log /proc/no/such/audit.log: No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_counted_and_the_next_ones_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (log, metrics) = open(&path);
    write(&log, "lost").await;
    write(&log, "lost").await;
    let text = metrics.text();
    assert!(text.contains("keyvault_csi_audit_lines_lost_total{reason=\"write_failed\"} 4\n"), "{text}");

    fs::remove_file(&path).unwrap();
    write(&log, "kept").await;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim_start().lines().count(), 2, "a line end closes what was torn: {text:?}");
}

#[tokio::test]
async fn a_flood_of_one_namespace_displaces_no_line_of_another() {
    let metrics = Arc::new(Metrics::default());
    let (writer, hung) = mpsc::channel();
    let log = AuditLog { queue: FairQueue::new(OPEN, RESERVE), writer, metrics: Arc::clone(&metrics) };
    for _ in 0..100 {
        log.write(&Tenant::new("flood"), (0..1000).map(|_| record("flood", "one")));
    }
    let text = metrics.text();
    assert!(text.contains("keyvault_csi_audit_lines_lost_total{reason=\"queue_full\"}"), "{text}");
    log.write(&Tenant::new("victim"), [record("victim", "one")]);
    let batches = hung.try_iter().filter_map(|message| match message {
        Message::Write(batch) => Some(String::from_utf8(batch.text).unwrap()),
        Message::Reopen | Message::Flush(_) => None,
    });
    assert!(batches.last().unwrap().contains("victim"));
}
