//! Who asks: found in the class, the flags, and the environment that the workload identity webhook and
//! Azure's own tools know.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use data_encoding::BASE64;
use serde::Deserialize;
use zeroize::Zeroize;

use super::class::Class;
use crate::plan::{
    Claims, ClientCredential, ClientId, IDENTITY_BINDING_AUDIENCE, ServiceAccountToken,
    TOKEN_EXCHANGE_AUDIENCE,
};
use crate::secret::{SecretBytes, SecretText};

/// Flags that say who asks.
#[derive(Args, Clone, Debug)]
pub(super) struct CallerArgs {
    /// A file with a service account token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Ask as this machine's managed identity: the system-assigned, or the one with this client id
    #[arg(long, value_name = "CLIENT_ID", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "token_file")]
    managed_identity: Option<String>,
    /// The namespace of the pod that this mount stands for
    #[arg(long)]
    pub(super) namespace: Option<String>,
    /// Its service account; the token's if left out
    #[arg(long, value_name = "NAME")]
    pub(super) service_account: Option<String>,
    /// Its name, for errors and logs; the token's if left out
    #[arg(long, value_name = "NAME")]
    pub(super) pod: Option<String>,
}

/// Who asks, with what it proves itself by.
pub(super) enum Caller {
    /// As the class alone says it.
    OfClass,
    /// This machine, by a managed identity; no client is the system-assigned one.
    Machine { client: Option<String> },
    /// A service account, by its token.
    ServiceAccount(Token),
    /// An application, by its own secret or certificate.
    ServicePrincipal { client: String, credential: ClientCredential, source: String },
}

/// A service account token, and where it is from.
pub(super) struct Token {
    jwt: ServiceAccountToken,
    audience: &'static str,
    /// The pod that it is bound to, if it says one.
    pub(super) pod: Option<String>,
    /// The client id of the application that it stands for, if class or environment say it.
    pub(super) client: Option<String>,
    source: String,
}

impl Caller {
    /// Chooses among what is there, in the order that the command's help tells.
    ///
    /// # Errors
    /// If there is nobody, or a half of somebody, or a file cannot be used.
    pub(super) fn choose(
        class: &Class,
        args: &CallerArgs,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        if let Some(client) = &args.managed_identity {
            if let (Some(chosen), false) = (class.text("userAssignedIdentityID"), client.is_empty()) {
                tracing::warn!(
                    "--managed-identity={client} is left aside: the class's userAssignedIdentityID is {chosen}"
                );
            }
            return Ok(Self::Machine { client: Some(client.clone()).filter(|client| !client.is_empty()) });
        }
        if class.says("useVMManagedIdentity")? || class.says("usePodIdentity")? {
            if args.token_file.is_some() {
                tracing::warn!("--token-file is left aside: the class says who asks");
            }
            return Ok(Self::OfClass);
        }
        let bound = class.says("useAzureTokenProxy")?;
        let audience = if bound { IDENTITY_BINDING_AUDIENCE } else { TOKEN_EXCHANGE_AUDIENCE };
        let by_environment = || Some((PathBuf::from(environment(TOKEN_FILE)?), TOKEN_FILE));
        let file = args.token_file.clone().map(|file| (file, "--token-file")).or_else(by_environment);
        if let Some((file, name)) = file {
            let source = format!("{name}={}", file.display());
            let client = class.text("clientID").map(str::to_owned).or_else(|| environment(CLIENT));
            return Token::read(&file, audience, source, client).map(Self::ServiceAccount);
        }
        if bound {
            bail!(
                "the class says useAzureTokenProxy, which takes a service account token of audience {audience}; name its file by --token-file"
            );
        }
        service_principal(environment)
    }
}

const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const CLIENT: &str = "AZURE_CLIENT_ID";
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE_FILE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const CERTIFICATE_PASSWORD: &str = "AZURE_CLIENT_CERTIFICATE_PASSWORD";

fn service_principal(environment: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Caller> {
    let (credential, name) = match (environment(CLIENT_SECRET), environment(CERTIFICATE_FILE)) {
        (Some(secret), None) => (ClientCredential::Secret(SecretText::new(secret)), CLIENT_SECRET),
        (None, Some(file)) => {
            if environment(CERTIFICATE_PASSWORD).is_some() {
                bail!(
                    "{CERTIFICATE_PASSWORD} is set, and certificates with a password are not read; give one without"
                );
            }
            (ClientCredential::Certificate(certificate(file.as_ref())?), CERTIFICATE_FILE)
        }
        (Some(_), Some(_)) => {
            bail!("{CLIENT_SECRET} and {CERTIFICATE_FILE} are both set; keep one of the two")
        }
        (None, None) => bail!(
            "nobody is there to ask as: give a service account token (--token-file, or {TOKEN_FILE}), a service principal ({CLIENT} with {CLIENT_SECRET} or {CERTIFICATE_FILE}), or, on a virtual machine of Azure, --managed-identity"
        ),
    };
    let Some(client) = environment(CLIENT) else {
        bail!("{name} is set, and {CLIENT} is not; set it to the service principal's client id");
    };
    // Not shown: whoever mixed the two up has his secret here.
    if ClientId::parse_uuid(&client).is_none() {
        bail!("{CLIENT} is not a client id; set it to the service principal's client id, a UUID");
    }
    let source = format!("{CLIENT} and {name}");
    Ok(Caller::ServicePrincipal { client, credential, source })
}

/// PEM as it is; PKCS#12, which is binary, in base64.
fn certificate(file: &Path) -> anyhow::Result<SecretText> {
    let read =
        std::fs::read(file).with_context(|| format!("cannot read {CERTIFICATE_FILE}={}", file.display()))?;
    let bytes = SecretBytes::new(read);
    Ok(SecretText::new(match crate::text::decode(bytes.expose().to_vec()) {
        Ok(text) => text,
        Err(_) => BASE64.encode(bytes.expose()),
    }))
}

/// What kubelet writes into a token of a pod, besides the claims of RFC 7519.
#[derive(Deserialize)]
struct Bound {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<BoundTo>,
}

#[derive(Deserialize)]
struct BoundTo {
    pod: Option<BoundPod>,
}

#[derive(Deserialize)]
struct BoundPod {
    name: String,
}

impl Token {
    fn read(
        file: &Path,
        audience: &'static str,
        source: String,
        client: Option<String>,
    ) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {source}"))?;
        let mut text = crate::text::decode(bytes).with_context(|| format!("cannot read {source}"))?;
        let raw = text.trim().to_owned();
        text.zeroize();
        let jwt = ServiceAccountToken::parse(raw, audience).map_err(|fault| {
            anyhow!(
                "{source}: {}; the file must have a service account token (kubectl create token NAME --audience {audience})",
                fault.problem
            )
        })?;
        let bound = jsonwebtoken::dangerous::insecure_decode_claims::<Bound>(jwt.expose()).ok();
        let pod = bound.and_then(|bound| bound.kubernetes).and_then(|bound| bound.pod).map(|pod| pod.name);
        Ok(Self { jwt, audience, pod, client, source })
    }

    /// As the API server gives tokens to kubelet: by audience.
    pub(super) fn tokens(&self) -> anyhow::Result<SecretText> {
        let entry = BTreeMap::from([("token", self.jwt.expose())]);
        Ok(SecretText::new(serde_json::to_string(&BTreeMap::from([(self.audience, entry)]))?))
    }

    /// Namespace and service account, if the subject is one.
    pub(super) fn account(&self) -> Option<(&str, &str)> {
        self.jwt.claims().subject.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfClass => f.write_str("what the class says"),
            Self::Machine { .. } => f.write_str("--managed-identity"),
            Self::ServiceAccount(token) => {
                let Claims { subject, issuer, audiences, .. } = token.jwt.claims();
                let audiences = audiences.join(" ");
                write!(f, "{}, subject {subject}, issuer {issuer}, audience {audiences}", token.source)
            }
            Self::ServicePrincipal { source, .. } => f.write_str(source),
        }
    }
}
