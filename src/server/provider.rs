//! The provider protocol: decodes, mounts, logs once, encodes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tracing::{Instrument, field};

use crate::code::Code;
use crate::mount::{MountError, Mounter};
use crate::proto::csi_driver_provider_server::CsiDriverProvider;
use crate::proto::{MountRequest, MountResponse, VersionRequest, VersionResponse};
use crate::retry::Deadline;
use crate::telemetry::Metrics;

/// The protocol version that the driver and this provider speak.
pub const PROTOCOL_VERSION: &str = "v1alpha1";
/// What this provider calls itself.
pub const RUNTIME_NAME: &str = env!("CARGO_PKG_NAME");

/// No mount takes longer than this, however long its caller would wait: kubelet asks again.
const LONGEST_MOUNT: Duration = Duration::from_secs(60);
/// An error's text; it travels in a header, and header lists are bounded.
const LONGEST_MESSAGE: usize = 4096;

/// Answers the driver.
#[derive(Debug)]
pub struct Provider {
    mounter: Mounter,
    metrics: Arc<Metrics>,
}

impl Provider {
    /// Answers with what `mounter` does.
    pub fn new(mounter: Mounter, metrics: Arc<Metrics>) -> Self {
        Self { mounter, metrics }
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
        let mounted = self.mounter.mount(request.into_inner(), deadline).instrument(span.clone()).await;
        let took = start.elapsed();
        let code = mounted.as_ref().err().map_or("OK", |error| go_name(error.code()));
        self.metrics.grpc_request("/v1alpha1.CSIDriverProvider/Mount", code, took);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        span.in_scope(|| match &mounted {
            Ok(response) => tracing::info!(objects = response.object_version.len(), milliseconds, "mounted"),
            Err(error) => tracing::error!(code = error.code().name(), milliseconds, "mount failed: {error}"),
        });
        mounted.map(Response::new).map_err(|error| status(&error))
    }
}

/// The only place where a `Status` is made, and so the only codes that leave.
fn status(error: &MountError) -> Status {
    let code = match error.code() {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::NotFound => tonic::Code::NotFound,
        Code::Internal => tonic::Code::Internal,
    };
    let mut message = error.to_string();
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    Status::new(code, message)
}

/// The code as the Go provider's metrics write it.
fn go_name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "InvalidArgument",
        Code::Unauthenticated => "Unauthenticated",
        Code::PermissionDenied => "PermissionDenied",
        Code::NotFound => "NotFound",
        Code::Internal => "Internal",
    }
}

/// The time that a mount has: what the caller waits, less what the way back and the writing of
/// files may take.
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
    fn every_code_that_leaves_is_final() {
        let unreachable = IdentityError::Unreachable { authority: "a".into(), reason: "r".into() };
        let errors = [
            MountError::Plan(PlanError::one("p", Fault::new("x", "y"))),
            MountError::Identity(unreachable),
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
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "gravest first");
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
