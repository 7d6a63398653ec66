//! A machine without a cluster, on which the command is run.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use keyvault_emulator::Emulator;

use crate::harness::{APP, PROGRAM, TENANT};
use crate::volume::Volume;

pub const OBJECTS: &str = "- {objectName: database-password, objectType: secret, objectAlias: db-password}\n";

/// The emulated Azure, a folder with what the command reads, and a place on a tmpfs.
pub struct Site {
    pub emulator: Emulator,
    pub folder: tempfile::TempDir,
    pub volume: Volume,
}

/// Parameters of a class, by name.
pub type Parameters<'a> = &'a [(&'a str, &'a str)];

pub const WORKLOAD: Parameters<'_> =
    &[("tenantID", TENANT), ("clientID", APP), ("keyvaultName", "myKeyVault"), ("objects", OBJECTS)];
/// A class without an identity.
pub const BARE: Parameters<'_> = &[("keyvaultName", "myKeyVault"), ("objects", OBJECTS)];

impl Site {
    pub async fn start() -> Self {
        Self::of(Emulator::start(crate::identities::seed_with_applications()).await.unwrap())
    }

    pub fn of(emulator: Emulator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another user reads it, too.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let site = Self { emulator, folder, volume: Volume::shared() };
        site.file("token", site.token());
        site.class(WORKLOAD);
        site
    }

    pub fn token(&self) -> String {
        self.emulator.token("default", "workload-identity-sa").pod("myapp-0", "uid").build()
    }

    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// Writes the class that [`Self::command`] mounts.
    pub fn class(&self, parameters: Parameters<'_>) {
        self.file("class.yaml", manifest(parameters));
    }

    /// A directory that is not there yet.
    pub fn target(&self) -> PathBuf {
        self.volume.path().join("secrets")
    }

    /// `mount class.yaml --target <the target>`, in an environment that knows the emulator only.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.command_of(Path::new(PROGRAM), "class.yaml", &self.target());
        command.args(args);
        command
    }

    pub fn command_of(&self, program: &Path, file: &str, target: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(provider_launcher::environment(&self.emulator, self.folder.path()).unwrap())
            .current_dir(self.folder.path())
            .args(["mount", file, "--target"])
            .arg(target)
            .arg(format!("--imds-endpoint=http://{}/", self.emulator.imds_address()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the command with these arguments and this environment.
    pub async fn run(&self, args: &[&str], environment: Parameters<'_>) -> Ended {
        let mut command = self.command(args);
        command.envs(environment.iter().copied());
        ended(command.spawn().unwrap()).await
    }

    /// What it says when it must fail, and must have written nothing.
    pub async fn refused(&self, args: &[&str], environment: Parameters<'_>) -> String {
        let ended = self.run(args, environment).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(!self.target().exists(), "what was made is unmade: {ended:?}");
        ended.errors
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.target().join(name)).unwrap()
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Ended {
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// Waits for the end; the emulator runs meanwhile.
pub async fn ended(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), output: text(stdout), errors: text(stderr) }
}

/// A manifest with the class `my-class`.
pub fn manifest(parameters: Parameters<'_>) -> String {
    let parameters = parameters.iter().copied().collect::<BTreeMap<_, _>>();
    let class = serde_json::json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": { "name": "my-class" },
        "spec": { "provider": "azure", "parameters": parameters },
    });
    format!("---\n{class}\n")
}
