//! The gRPC service: decodes requests, mounts, logs one line per mount, and encodes responses.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tracing::{Instrument, field};

use super::memory::AnswerMemory;
use crate::code::Code;
use crate::mount::{MountError, Mounted, Mounter, VolumeChange};
use crate::plan::target_path;
use crate::proto::csi_driver_provider_server::CsiDriverProvider;
use crate::proto::{MountRequest, MountResponse, VersionRequest, VersionResponse};
use crate::retry::Deadline;
use crate::telemetry::Metrics;

/// The protocol version that the driver and this provider speak.
pub const PROTOCOL_VERSION: &str = "v1alpha1";
/// The name of this provider.
pub const RUNTIME_NAME: &str = env!("CARGO_PKG_NAME");

/// Maximum duration of a mount, whatever its caller's deadline; kubelet retries.
const LONGEST_MOUNT: Duration = Duration::from_mins(1);
/// Maximum length of an error message, because it is sent in a header.
const LONGEST_MESSAGE: usize = 4096;

/// The gRPC service for the driver.
#[derive(Debug)]
pub struct Provider {
    mounter: Mounter,
    metrics: Arc<Metrics>,
    draining: watch::Receiver<Option<Deadline>>,
}

impl Provider {
    /// Serves mounts with `mounter`. Once `draining` has a deadline, mounts end before it.
    pub fn new(mounter: Mounter, metrics: Arc<Metrics>, draining: watch::Receiver<Option<Deadline>>) -> Self {
        Self { mounter, metrics, draining }
    }

    /// Runs one mount and always returns an outcome, also on shutdown or a panic.
    async fn answered(&self, request: MountRequest, deadline: Deadline) -> Result<Mounted, MountError> {
        let target = target_path(&request.target_path);
        // A panic leaves the state consistent: each lock guards single calls, and the next mount removes an unfinished
        // generation of files.
        let mounting = AssertUnwindSafe(self.mounter.mount(request, deadline)).catch_unwind();
        let error = tokio::select! {
            biased;
            mounted = mounting => match mounted {
                Ok(mounted) => return mounted,
                Err(_) => MountError::Defect,
            },
            () = self.until_drain_deadline() => MountError::Stopping,
        };
        if let Ok(target) = target {
            self.mounter.delivery.settle(&target).await;
        }
        Err(error)
    }

    /// Completes when running mounts must end because the process shuts down.
    async fn until_drain_deadline(&self) {
        let mut draining = self.draining.clone();
        // Without a sender there is no drain.
        let Ok(deadline) = draining.wait_for(Option::is_some).await.map(|deadline| *deadline) else {
            return std::future::pending().await;
        };
        if let Some(deadline) = deadline {
            deadline.limit(std::future::pending::<()>()).await;
        }
    }
}

#[tonic::async_trait]
impl CsiDriverProvider for Provider {
    async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        Ok(Response::new(VersionResponse {
            version: PROTOCOL_VERSION.to_owned(),
            runtime_name: RUNTIME_NAME.to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn mount(&self, request: Request<MountRequest>) -> Result<Response<MountResponse>, Status> {
        let start = Instant::now();
        let deadline = Deadline::after(budget_of(request.metadata()));
        let span = tracing::info_span!(
            "mount",
            pod = field::Empty,
            namespace = field::Empty,
            service_account = field::Empty,
            class = field::Empty,
            vault = field::Empty,
        );
        let mut log_guard = MountLogGuard { metrics: &self.metrics, span: span.clone(), start, done: false };
        let mounted = self.answered(request.into_inner(), deadline).instrument(span).await;
        log_guard.record(&mounted);
        let Mounted { response, memory, .. } = mounted.map_err(|error| status(&error))?;
        let mut response = Response::new(response);
        if let Some(memory) = memory {
            response.extensions_mut().insert(AnswerMemory::from(memory));
        }
        Ok(response)
    }
}

/// The log line and metrics of a mount, also of one whose caller disconnects.
struct MountLogGuard<'a> {
    metrics: &'a Metrics,
    span: tracing::Span,
    start: Instant,
    done: bool,
}

impl MountLogGuard<'_> {
    fn record(&mut self, mounted: &Result<Mounted, MountError>) {
        self.done = true;
        let milliseconds = self.sample(mounted.as_ref().err().map_or("OK", |error| go_name(error.code())));
        self.span.in_scope(|| match mounted {
            Ok(Mounted { response, change, sources, .. }) => {
                let objects = response.object_version.len();
                match change {
                    VolumeChange::First => tracing::info!(objects, milliseconds, %sources, "mounted"),
                    VolumeChange::Changed => tracing::info!(objects, milliseconds, %sources, "changed"),
                    // Every pod's volume is refreshed every few minutes: these lines would be most of the log.
                    VolumeChange::Unchanged => tracing::debug!(objects, milliseconds, %sources, "unchanged"),
                }
            }
            Err(error) => {
                tracing::error!(code = error.code().name(), milliseconds, "mount failed: {}", short(error));
            }
        });
    }

    fn sample(&self, code: &'static str) -> u64 {
        let took = self.start.elapsed();
        self.metrics.grpc_request("/v1alpha1.CSIDriverProvider/Mount", code, took);
        self.metrics.mount(code);
        u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for MountLogGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            let milliseconds = self.sample("Canceled");
            self.span.in_scope(|| {
                tracing::warn!(milliseconds, "the driver cancelled the mount before it was done");
            });
        }
    }
}

/// The only place that creates a `Status`, and so the only codes that are sent.
fn status(error: &MountError) -> Status {
    let code = match error.code() {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::NotFound => tonic::Code::NotFound,
        Code::Internal => tonic::Code::Internal,
    };
    Status::new(code, short(error))
}

/// The error's message, truncated to [`LONGEST_MESSAGE`].
fn short(error: &MountError) -> String {
    let mut message = error.to_string();
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The code as in the Go provider's metrics.
fn go_name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "InvalidArgument",
        Code::Unauthenticated => "Unauthenticated",
        Code::PermissionDenied => "PermissionDenied",
        Code::NotFound => "NotFound",
        Code::Internal => "Internal",
    }
}

/// The time that a mount may take: the caller's timeout, minus a margin for sending the answer and writing the
/// files.
fn budget_of(metadata: &MetadataMap) -> Duration {
    let caller = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse_timeout);
    let Some(caller) = caller else { return LONGEST_MOUNT };
    let reserve = (caller / 5).min(Duration::from_secs(3));
    caller.saturating_sub(reserve).min(LONGEST_MOUNT)
}

/// `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Requests").
fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<u64>().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(value * 3600)),
        'M' => Some(Duration::from_secs(value * 60)),
        'S' => Some(Duration::from_secs(value)),
        'm' => Some(Duration::from_millis(value)),
        'u' => Some(Duration::from_micros(value)),
        'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityError;
    use crate::mount::ObjectError;
    use crate::plan::{Fault, PlanError};

    /// kubelet's `isFinalError`: these codes may start a pod with an empty volume.
    const NOT_FINAL: [tonic::Code; 5] = [
        tonic::Code::Cancelled,
        tonic::Code::DeadlineExceeded,
        tonic::Code::Unavailable,
        tonic::Code::ResourceExhausted,
        tonic::Code::Aborted,
    ];

    #[test]
    fn every_status_code_is_final() {
        let errors = [
            MountError::Plan(PlanError::one("p", Fault::new("x", "y"))),
            MountError::Identity(IdentityError::timed_out(&url::Url::parse("https://a/").unwrap())),
            MountError::Late,
            MountError::Stopping,
            MountError::Defect,
            MountError::Objects(Vec::<ObjectError>::new()),
            MountError::Deliver(crate::deliver::DeliverError::Cancelled),
        ];
        for error in errors {
            assert!(!NOT_FINAL.contains(&status(&error).code()), "{error:?}");
        }
        let all = [
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::NotFound,
            Code::Internal,
        ];
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "most severe first");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let error = MountError::Plan(PlanError::one("ä".repeat(5000), Fault::new("x", "y")));
        assert!(status(&error).message().len() <= LONGEST_MESSAGE + '…'.len_utf8());
    }

    #[test]
    fn the_budget_ends_before_the_callers_deadline() {
        let budget = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            budget_of(&metadata)
        };
        assert_eq!(budget("120S"), LONGEST_MOUNT);
        assert_eq!(budget("2M"), LONGEST_MOUNT);
        assert_eq!(budget("10S"), Duration::from_secs(8));
        assert_eq!(budget("1000m"), Duration::from_millis(800));
        assert_eq!(budget("30S"), Duration::from_secs(27));
        for nonsense in ["", "S", "5", "123456789S", "-1S", "1x", "١S"] {
            assert_eq!(parse_timeout(nonsense), None, "{nonsense}");
        }
        assert_eq!(budget_of(&MetadataMap::new()), LONGEST_MOUNT);
    }
}
