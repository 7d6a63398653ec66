//! What the tests share: a world of emulator, provider and volumes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use keyvault_csi_provider::proto::csi_driver_provider_client::CsiDriverProviderClient;
use keyvault_csi_provider::proto::{MountRequest, MountResponse, ObjectVersion};
use keyvault_csi_provider::server::socket;
use keyvault_emulator::{Emulator, Identity, Secret, SecretPermission, Seed, TokenBuilder, Vault};
use nix::sys::signal::Signal;
pub use provider_launcher::free_port;
use provider_launcher::{Launch, Process};
use tonic::{Code, Request, Status};

pub const TENANT: &str = "00000000-0000-4000-8000-000000000001";
pub const APP: &str = "11111111-1111-4111-8111-111111111111";
pub const OTHER_APP: &str = "22222222-2222-4222-8222-222222222222";
pub const VALUE: &str = "correct horse battery staple";

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_keyvault-csi-provider");

/// A process must do what it was asked within this time, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// `workload-identity-sa` is `myapp` and may read `myKeyVault`; `other-sa` is `other` and may not.
pub fn seed() -> Seed {
    Seed::default()
        .identity(Identity::new("myapp", APP).federated("default", "workload-identity-sa"))
        .identity(Identity::new("other", OTHER_APP).federated("default", "other-sa"))
        .vault(
            Vault::new("myKeyVault")
                .access("myapp", &[SecretPermission::Get])
                .secret(Secret::new("database-password", VALUE))
                .secret(Secret::new("api-key", "second value"))
                .secret(Secret::new("007", "bond")),
        )
}

pub struct World {
    pub emulator: Emulator,
    pub provider: Provider,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn start(args: &[&str]) -> Self {
        Self::with(seed(), args).await
    }

    pub async fn with(seed: Seed, args: &[&str]) -> Self {
        let emulator = Emulator::start(seed).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let provider = Provider::start(&emulator, folder.path(), args);
        Self { emulator, provider, folder }
    }

    /// A provider that has the cluster's keys, from a file.
    pub async fn with_keys(args: &[&str]) -> Self {
        Self::of_emulator_with_keys(Emulator::start(seed()).await.unwrap(), args)
    }

    pub fn of_emulator_with_keys(emulator: Emulator, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = provider_launcher::key_flags(&emulator, folder.path()).unwrap();
        let args = keys.iter().map(String::as_str).chain(args.iter().copied()).collect::<Vec<_>>();
        let provider = Provider::start(&emulator, folder.path(), &args);
        Self { emulator, provider, folder }
    }

    /// A provider in a "cluster" whose API server is the emulator.
    pub fn in_cluster(emulator: Emulator, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = emulator.token("kube-system", "provider").audience(emulator.issuer()).build();
        std::fs::write(folder.path().join("token"), own).unwrap();
        std::fs::write(folder.path().join("ca.crt"), emulator.ca_pem()).unwrap();
        let port = emulator.address().port().to_string();
        let environment =
            [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", port.as_str())];
        let credentials = format!("--service-account-dir={}", folder.path().display());
        let args = std::iter::once(credentials.as_str()).chain(args.iter().copied()).collect::<Vec<_>>();
        let provider = Provider::start_in(&emulator, folder.path(), &args, &environment);
        Self { emulator, provider, folder }
    }

    pub fn token(&self) -> TokenBuilder {
        self.emulator.token("default", "workload-identity-sa")
    }

    /// The guide's mount: `database-password` of `myKeyVault` as `db-password`.
    pub fn claim(&self) -> Claim {
        Claim::new(&self.token().build())
            .objects("- {objectName: database-password, objectType: secret, objectAlias: db-password}")
    }

    pub async fn mount(&self, claim: &Claim) -> Result<MountResponse, Status> {
        self.provider.mount(claim).await
    }

    /// The error of a mount that must fail.
    pub async fn refused(&self, claim: &Claim) -> Status {
        self.mount(claim).await.expect_err("the mount must fail")
    }
}

/// What kubelet and the driver put into a request.
#[derive(Clone)]
pub struct Claim {
    pub attributes: BTreeMap<String, String>,
    pub secrets: String,
    pub target: PathBuf,
    pub permission: String,
    pub current: Vec<ObjectVersion>,
    pub timeout: Option<Duration>,
}

impl Claim {
    pub fn new(token: &str) -> Self {
        let attributes = [
            ("csi.storage.k8s.io/pod.name", "myapp-0"),
            ("csi.storage.k8s.io/pod.namespace", "default"),
            ("csi.storage.k8s.io/pod.uid", "0f4ee5b8-0000-4000-8000-000000000000"),
            ("csi.storage.k8s.io/serviceAccount.name", "workload-identity-sa"),
            ("csi.storage.k8s.io/ephemeral", "true"),
            ("secretProviderClass", "my-class"),
            ("csi.storage.k8s.io/serviceAccount.tokens", &tokens(token)),
            ("tenantID", TENANT),
            ("clientID", APP),
            ("keyvaultName", "myKeyVault"),
        ];
        Self {
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            secrets: "null".to_owned(),
            target: PathBuf::from("/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/secrets/mount"),
            permission: "420".to_owned(),
            current: Vec::new(),
            timeout: None,
        }
    }

    /// The claim of another pod, whose volume is another.
    pub fn pod(mut self, index: usize) -> Self {
        self.target = PathBuf::from(format!(
            "/var/lib/kubelet/pods/uid-{index}/volumes/kubernetes.io~csi/secrets/mount"
        ));
        self.set("csi.storage.k8s.io/pod.name", &format!("myapp-{index}"))
            .set("csi.storage.k8s.io/pod.uid", &format!("uid-{index}"))
    }

    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.attributes.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.attributes.remove(key);
        self
    }

    pub fn objects(self, yaml: &str) -> Self {
        self.set("objects", yaml)
    }

    pub fn token(self, token: &str) -> Self {
        self.set("csi.storage.k8s.io/serviceAccount.tokens", &tokens(token))
    }

    pub fn target(mut self, target: &Path) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub fn request(&self) -> MountRequest {
        MountRequest {
            attributes: serde_json::to_string(&self.attributes).unwrap(),
            secrets: self.secrets.clone(),
            target_path: self.target.display().to_string(),
            permission: self.permission.clone(),
            current_object_version: self.current.clone(),
        }
    }
}

/// The tokens attribute, with `token` under the exchange audience whatever it says of itself.
pub fn tokens(token: &str) -> String {
    serde_json::json!({ "api://AzureADTokenExchange": { "token": token, "expirationTimestamp": "2099-01-01T00:00:00Z" } }).to_string()
}

/// A list of plain objects, one per name.
pub fn objects(names: &[&str]) -> String {
    let lines = names.iter().map(|name| format!("- {{objectName: {name}, objectType: secret}}\n"));
    lines.collect::<Vec<_>>().concat()
}

/// Path and contents of each file of a response.
pub fn files(response: &MountResponse) -> Vec<(&str, &[u8])> {
    response.files.iter().map(|file| (file.path.as_str(), file.contents.as_slice())).collect()
}

/// A process of the provider.
pub struct Provider {
    process: Process,
    reader: Option<JoinHandle<()>>,
    pub socket: PathBuf,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    serving: Receiver<()>,
    pub health_port: u16,
    pub metrics_port: u16,
}

impl Provider {
    /// Starts one on `<folder>/run/azure.sock` and waits until it serves.
    pub fn start(emulator: &Emulator, folder: &Path, args: &[&str]) -> Self {
        Self::start_in(emulator, folder, args, &[])
    }

    pub fn start_in(emulator: &Emulator, folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(PROGRAM), emulator, folder, args, environment).served()
    }

    /// Starts one under a umask of its own.
    pub fn start_with_umask(emulator: &Emulator, folder: &Path, args: &[&str], umask: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "umask $0; exec \"$@\"", umask, PROGRAM]);
        Self::spawn(shell, emulator, folder, args, &[]).served()
    }

    fn served(self) -> Self {
        let mut provider = self;
        provider.serving.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let status = provider.process.exit_status();
            panic!("the provider does not serve: {status:?}\n{}", provider.log())
        });
        provider
    }

    /// Starts one that must fail, and returns how it ended and what it said.
    pub fn fail(emulator: &Emulator, folder: &Path, args: &[&str]) -> (ExitStatus, String) {
        let mut provider = Self::spawn(Command::new(PROGRAM), emulator, folder, args, &[]);
        let _ = provider.serving.recv_timeout(PATIENCE);
        provider.end()
    }

    fn spawn(
        program: Command,
        emulator: &Emulator,
        folder: &Path,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let socket = folder.join("run").join("azure.sock");
        let (health_port, metrics_port) = (free_port(), free_port());
        let azure = provider_launcher::environment(emulator, folder).unwrap();
        let mut launch =
            Launch::new(program).azure(azure).env(environment.iter().copied()).args(args).log_piped();
        let given = |flag: &str| args.iter().any(|arg| arg.starts_with(flag));
        if !given("--endpoint") {
            launch = launch.socket(&socket);
        }
        if !given("--healthz-port") {
            launch = launch.args([format!("--healthz-port={health_port}")]);
        }
        if !given("--prometheus-port") {
            launch = launch.args([format!("--prometheus-port={metrics_port}")]);
        }
        let mut process = launch.start().unwrap();
        let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (told, serving) = channel();
        let errors = BufReader::new(process.take_stderr().unwrap());
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let serves = line.contains("serving");
                kept.0.lock().unwrap().push(line);
                kept.1.notify_all();
                if serves {
                    let _ = told.send(());
                }
            }
        });
        Self { process, reader: Some(reader), socket, lines, serving, health_port, metrics_port }
    }

    pub fn client(&self) -> CsiDriverProviderClient<tonic::transport::Channel> {
        CsiDriverProviderClient::new(socket::channel(&self.socket)).max_decoding_message_size(usize::MAX)
    }

    pub async fn mount(&self, claim: &Claim) -> Result<MountResponse, Status> {
        let mut request = Request::new(claim.request());
        if let Some(timeout) = claim.timeout {
            request.set_timeout(timeout);
        }
        let answer = self.client().mount(request).await.map(tonic::Response::into_inner);
        if let Err(status) = &answer {
            assert_final(status);
        }
        answer
    }

    pub fn process_id(&self) -> i32 {
        self.process.pid()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    /// Waits for the end of the process.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        tokio::task::spawn_blocking(move || self.end()).await.unwrap()
    }

    /// How it ended, and everything that it said until then.
    fn end(&mut self) -> (ExitStatus, String) {
        let status = self.process.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.log())
    }

    /// Everything it has written to standard error.
    pub fn log(&self) -> String {
        self.lines.0.lock().unwrap().join("\n")
    }

    /// Waits until so many lines with these words have been written, and returns the log.
    pub fn log_with(&self, words: &str, times: usize) -> String {
        let (lines, written) = &*self.lines;
        let missing =
            |lines: &mut Vec<String>| lines.iter().filter(|line| line.contains(words)).count() < times;
        let (lines, waited) = written.wait_timeout_while(lines.lock().unwrap(), PATIENCE, missing).unwrap();
        let log = lines.join("\n");
        assert!(!waited.timed_out(), "{words:?} is not there {times} times:\n{log}");
        log
    }

    /// Status and body of `GET http://127.0.0.1:<port><path>`.
    pub async fn get(port: u16, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// No answer may carry a code that lets kubelet start a pod with an empty volume.
fn assert_final(status: &Status) {
    let dangerous =
        [Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable, Code::ResourceExhausted, Code::Aborted];
    assert!(!dangerous.contains(&status.code()), "{status:?}");
}
