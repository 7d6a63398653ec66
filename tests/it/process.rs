//! The process: its flags, socket, probes and shutdown.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use keyvault_csi_provider::proto::VersionRequest;
use keyvault_csi_provider::proto::csi_driver_provider_server::{CsiDriverProvider, CsiDriverProviderServer};
use keyvault_csi_provider::proto::{MountRequest, MountResponse, VersionResponse};
use keyvault_csi_provider::server::socket::channel;
use keyvault_emulator::{Emulator, Fault, RequestKind, Target};
use nix::sys::signal::Signal;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Provider, World, free_port, seed};

/// The arguments of the Go provider's DaemonSet, and typical additions.
fn go_arguments(socket: &str, port: u16) -> Vec<String> {
    [
        &format!("--endpoint=unix://{socket}"),
        &format!("--healthz-port={port}"),
        "--healthz-path=/healthz",
        "--healthz-timeout=5s",
        "--construct-pem-chain=true",
        "-v=5",
        "--log-format-json=true",
        "--metrics-backend=Prometheus",
        "--write-cert-and-key-in-separate-files=false",
        "--cloud-name=AzurePublicCloud",
        "--custom-user-agent=helm",
        "--enable-pprof=false",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn the_go_providers_arguments_start_this_one_with_or_without_serve() {
    let emulator = Emulator::start(seed()).await.unwrap();
    for first in [None, Some("serve")] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("new/directories/azure.sock");
        let port = free_port();
        let go = go_arguments(socket.to_str().unwrap(), port);
        let args = first.into_iter().chain(go.iter().map(String::as_str)).collect::<Vec<_>>();
        let provider = Provider::start(&emulator, folder.path(), &args);
        assert_eq!(Provider::get(port, "/healthz").await.0, 200);
        assert!(
            provider.log().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
            "{}",
            provider.log()
        );
        assert!(socket.exists());
    }
}

#[tokio::test]
async fn version_and_health_answer_on_the_socket() {
    let world = World::start(&[]).await;
    let request = VersionRequest { version: "v1alpha1".to_owned() };
    let version = world.provider.client().version(request).await.unwrap().into_inner();
    assert_eq!(version.version, "v1alpha1");
    assert_eq!(version.runtime_name, "keyvault-csi-provider");
    assert_eq!(version.runtime_version, env!("CARGO_PKG_VERSION"));
    for service in ["", "v1alpha1.CSIDriverProvider"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let health = HealthClient::new(channel(&world.provider.socket)).check(request).await.unwrap();
        assert_eq!(health.into_inner().status, 1, "SERVING");
    }
}

#[tokio::test]
async fn probes_reflect_the_socket_and_never_azure() {
    let world = World::start(&[]).await;
    world.emulator.inject(Target::Entra, Fault::Disconnect);
    world.emulator.inject(Target::AllVaults, Fault::Disconnect);
    let port = world.provider.health_port;
    assert_eq!(Provider::get(port, "/healthz").await.0, 200);
    assert_eq!(Provider::get(port, "/readyz").await.0, 200);
    assert_eq!(Provider::get(port, "/else").await.0, 404);
    std::fs::remove_file(&world.provider.socket).unwrap();
    assert_eq!(Provider::get(port, "/healthz").await.0, 503);
    let listener = UnixListener::bind(&world.provider.socket).unwrap();
    let other_provider =
        tonic::transport::Server::builder().add_service(CsiDriverProviderServer::new(OtherProvider));
    tokio::spawn(other_provider.serve_with_incoming(UnixListenerStream::new(listener)));
    assert_eq!(Provider::get(port, "/healthz").await.0, 503, "another provider's answer does not count");
    assert_eq!(Provider::get(port, "/readyz").await.0, 200);
}

#[tokio::test]
async fn metrics_keep_the_go_providers_names() {
    let world = World::start(&[]).await;
    world.mount(&world.claim()).await.unwrap();
    world.refused(&world.claim().objects("- {objectName: nowhere, objectType: secret}")).await;
    let (status, text) = Provider::get(world.provider.metrics_port, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"keyvault_request_count{provider="azure",os_type="linux",service_name="csi-secrets-store-provider-azure",object_type="secret",error=""} 1"#,
        r#"error="not_found"} 1"#,
        r#"grpc_method="/v1alpha1.CSIDriverProvider/Mount",grpc_code="OK"} 1"#,
        r#"grpc_code="NotFound"} 1"#,
        r#"le="0.1""#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("nowhere"), "object names are never labels");
}

#[tokio::test]
async fn the_socket_is_private_and_its_temporary_directory_is_removed() {
    let world = World::start(&[]).await;
    let socket = &world.provider.socket;
    assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
    let names = std::fs::read_dir(socket.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect::<Vec<_>>();
    assert_eq!(names, ["azure.sock"]);
}

#[tokio::test]
async fn a_dead_socket_is_replaced() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("run/azure.sock")).unwrap());
    let provider = Provider::start(&emulator, folder.path(), &[]);
    let world = World { emulator, provider, folder };
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_socket_is_not_replaced() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let file = folder.path().join("run/azure.sock");
    std::fs::write(&file, "precious").unwrap();
    let (status, log) = Provider::fail(&emulator, folder.path(), &[]);
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("is not a socket"), "{log}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

/// Another provider, which answers `Version` with its own name.
struct OtherProvider;

#[tonic::async_trait]
impl CsiDriverProvider for OtherProvider {
    async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        let runtime_name = "secrets-store-csi-driver-provider-azure".to_owned();
        Ok(Response::new(VersionResponse {
            version: "v1alpha1".to_owned(),
            runtime_name,
            runtime_version: "1.8.2".to_owned(),
        }))
    }

    async fn mount(&self, _: Request<MountRequest>) -> Result<Response<MountResponse>, Status> {
        Err(Status::unimplemented("this provider cannot mount"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_providers_live_socket_is_replaced_only_with_takeover() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let listener = UnixListener::bind(folder.path().join("run/azure.sock")).unwrap();
    let other_provider =
        tonic::transport::Server::builder().add_service(CsiDriverProviderServer::new(OtherProvider));
    tokio::spawn(other_provider.serve_with_incoming(UnixListenerStream::new(listener)));

    let (status, log) = tokio::task::block_in_place(|| Provider::fail(&emulator, folder.path(), &[]));
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("secrets-store-csi-driver-provider-azure") && log.contains("--takeover"), "{log}");

    let provider = tokio::task::block_in_place(|| Provider::start(&emulator, folder.path(), &["--takeover"]));
    let world = World { emulator, provider, folder };
    world.mount(&world.claim()).await.unwrap();
}

#[tokio::test]
async fn a_successor_takes_over_while_the_old_process_finishes_its_mounts() {
    let world = World::start(&[]).await;
    let health = format!("--healthz-port={}", world.provider.health_port);
    let claim = world.claim();
    // The driver dials once and keeps its connection.
    let mut old = world.provider.client();
    old.version(VersionRequest::default()).await.unwrap();
    let successor = Provider::start(&world.emulator, world.folder.path(), &[&health]);
    assert_ne!(successor.process_id(), world.provider.process_id());

    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_millis(500)));
    let request = claim.request();
    let running = tokio::spawn(async move { old.mount(request).await });
    while world.emulator.in_flight_peak(RequestKind::Secret) == 0 {
        tokio::task::yield_now().await;
    }
    world.provider.signal(Signal::SIGTERM);
    let World { emulator: _emulator, provider, folder: _folder } = world;
    let (status, log) = provider.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    running.await.unwrap().expect("a running mount finishes");
    successor.mount(&claim).await.expect("new mounts go to the successor");
    assert!(successor.socket.exists());
}

#[tokio::test]
async fn sigterm_stops_an_idle_process_immediately_and_leaves_the_socket() {
    let world = World::start(&[]).await;
    // An idle connection, like the driver's, does not delay the shutdown.
    let mut idle = world.provider.client();
    idle.version(VersionRequest::default()).await.unwrap();
    world.provider.signal(Signal::SIGTERM);
    let socket = world.provider.socket.clone();
    let (status, log) = world.provider.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains("abandoned"), "{log}");
    assert!(socket.exists());
}

#[tokio::test]
async fn a_mount_that_cannot_finish_during_the_drain_gets_a_final_code() {
    for writer in ["--file-writer=driver", "--file-writer=provider"] {
        let world = World::start(&["--drain-timeout=2s", writer]).await;
        world.emulator.inject(Target::AllVaults, Fault::Hang);
        let claim = world.claim();
        let (mut client, request) = (world.provider.client(), claim.request());
        let running = tokio::spawn(async move { client.mount(request).await });
        while world.emulator.in_flight_peak(RequestKind::Secret) == 0 {
            tokio::task::yield_now().await;
        }
        world.provider.signal(Signal::SIGTERM);
        let (status, log) = world.provider.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        let answer = running.await.unwrap().expect_err("it cannot finish");
        assert_eq!(answer.code(), tonic::Code::Internal, "{answer:?}");
        assert!(answer.message().contains("shutting down"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_process_that_drains_leaves_the_probes_to_its_successor() {
    let world = World::start(&[]).await;
    world.emulator.inject(Target::AllVaults, Fault::Latency(Duration::from_secs(2)));
    let (mut client, request) = (world.provider.client(), world.claim().request());
    let running = tokio::spawn(async move { client.mount(request).await });
    while world.emulator.in_flight_peak(RequestKind::Secret) == 0 {
        tokio::task::yield_now().await;
    }
    world.provider.signal(Signal::SIGTERM);
    let port = world.provider.health_port;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(!running.is_finished(), "the port is closed before the mounts finish");
        tokio::task::yield_now().await;
    }
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_keep_probes_waiting() {
    let world = World::start(&[]).await;
    let port = world.provider.health_port;
    let idle =
        (0..200).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap()).collect::<Vec<_>>();
    assert_eq!(Provider::get(port, "/healthz").await.0, 200);
    drop(idle);
}

#[tokio::test]
async fn a_busy_socket_is_not_taken_for_a_dead_one() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let path = folder.path().join("run/azure.sock");
    // A listener that accepts no connection, with a full backlog.
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let (status, log) = Provider::fail(&emulator, folder.path(), &[]);
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("does not report its name"), "{log}");
}

#[tokio::test]
async fn flags_are_parsed_like_the_go_providers() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "--log-format-json=FALSE",
        "--log-format-json=T",
        "-v=1",
        "-v=5",
        "--construct-pem-chain",
        "--takeover=0",
    ];
    let provider = Provider::start(&emulator, folder.path(), &args);
    assert!(provider.log().starts_with('{'), "the last value of a repeated flag applies: {}", provider.log());
}

#[tokio::test]
async fn invalid_flags_and_failed_binds_stop_the_process_with_a_message() {
    let emulator = Emulator::start(seed()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = format!("--healthz-port={}", taken.local_addr().unwrap().port());
    let endpoint = format!("--endpoint=unix://{}/{}", folder.path().display(), "x".repeat(120));
    for (args, code, words) in [
        (vec![port.as_str()], 1, "cannot listen on --healthz-port"),
        (vec!["--endpoint=tcp://1.2.3.4:5"], 1, "is not a Unix socket"),
        (vec!["--endpoint=/proc/nowhere/azure.sock"], 1, "cannot create the directory /proc/nowhere"),
        (vec![endpoint.as_str()], 1, "107 bytes"),
        (vec!["--cloud-name=AzureMoon"], 1, "--cloud-name"),
        (vec!["--service-account-jwks=/x"], 1, "must be set together"),
        (vec!["--allowed-vault-suffix=https://x"], 1, "--allowed-vault-suffix"),
        (vec!["--healthz-path=health"], 1, "--healthz-path"),
        (vec!["--healthz-timeout=soon"], 2, "--healthz-timeout"),
        (vec!["--file-writer=unknown"], 2, "--file-writer"),
        (vec!["--no-such-flag"], 2, "--no-such-flag"),
    ] {
        let (status, log) = Provider::fail(&emulator, folder.path(), &args);
        assert_eq!(status.code(), Some(code), "{args:?}: {log}");
        assert!(log.contains(words), "{args:?}: {log}");
    }
}

/// A gRPC call like those of grpc-go 1.56, in drivers before v1.6: the socket's path is the authority.
#[tokio::test]
async fn drivers_that_send_the_sockets_path_as_authority_are_answered() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::start(&[]).await;
    let literal =
        |name: u8, value: &str| [&[name, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let named = |name: &str, value: &str| {
        [&[0], &literal(u8::try_from(name.len()).unwrap(), "")[..1], name.as_bytes(), &literal(0, value)[1..]]
            .concat()
    };
    let rest = [named("content-type", "application/grpc"), named("te", "trailers")].concat();
    let path = literal(0x44, "/v1alpha1.CSIDriverProvider/Version");
    let authority = literal(0x41, world.provider.socket.to_str().unwrap());
    let first = [&[0x83, 0x86], path.as_slice(), &authority, &rest].concat();
    // The second request refers to path and authority by the indices of the first one.
    let second = [&[0x83, 0x86, 0xbf, 0xbe], rest.as_slice()].concat();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let message = [0; 5];
    let mut stream = tokio::net::UnixStream::connect(&world.provider.socket).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    for bytes in [
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &first),
        frame(0, 1, 1, &message),
        frame(1, 4, 3, &second),
        frame(0, 1, 3, &message),
    ] {
        stream.write_all(&bytes).await.unwrap();
    }
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await.unwrap();
        let length = usize::from(header[1]) << 8 | usize::from(header[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        assert!(!matches!(header[3], 3 | 7), "reset: {header:?} {payload:?}");
        if header[3] == 0 {
            assert!(String::from_utf8_lossy(&payload).contains("keyvault-csi-provider"));
            answered.push(header[8]);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 3]);
}
