//! Who asks: found in the class, the flags, and the environment that the workload identity webhook and
//! Azure's own tools know.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::BASE64;

use super::class::Class;
use super::message::Message;
use super::token::Token;
use crate::plan::{Claims, ClientCredential, ClientId, IDENTITY_BINDING_AUDIENCE, TOKEN_EXCHANGE_AUDIENCE};
use crate::secret::{SecretBytes, SecretText};

/// Flags that select the identity.
#[derive(Args, Clone, Debug)]
pub(super) struct CallerArgs {
    /// File with a service account token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Use this machine's managed identity: the system-assigned one, or the one with this client id
    #[arg(long, value_name = "CLIENT_ID", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) managed_identity: Option<String>,
    /// Namespace of the pod to mount for
    #[arg(short = 'n', long)]
    pub(super) namespace: Option<String>,
    /// Service account of the pod [default: the token's]
    #[arg(long, value_name = "NAME")]
    pub(super) service_account: Option<String>,
    /// Name of the pod, for messages [default: the token's]
    #[arg(long, value_name = "NAME")]
    pub(super) pod: Option<String>,
}

/// The identity of the mount, with its credential.
pub(super) enum Caller {
    /// The identity that the class names.
    OfClass,
    /// This machine, by a managed identity; no client is the system-assigned one.
    Machine { client: Option<String> },
    /// A service account, by its token.
    ServiceAccount(Token),
    /// An application, by its own secret or certificate.
    ServicePrincipal { client: String, credential: ClientCredential, source: String },
    /// A service account whose token is not here: enough for a dry run, and to examine a class.
    Tokenless {
        /// The client id of the application that it stands for, if class or environment say it.
        client: Option<String>,
        /// Its name, if the command line says it.
        account: Option<String>,
        /// The audience that its token must have.
        audience: &'static str,
    },
}

impl Caller {
    /// Chooses the identity, in the order of the command's help. A dry run needs no token.
    ///
    /// # Errors
    /// Every mistake: no identity, an incomplete one, or a file that cannot be used.
    pub(super) fn choose(
        class: &Class,
        args: &CallerArgs,
        is_dry_run: bool,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Message>> {
        if let Some(client) = &args.managed_identity {
            if let (Some(chosen), false) = (class.text("userAssignedIdentityID"), client.is_empty()) {
                tracing::warn!(
                    "--managed-identity={client} has no effect: userAssignedIdentityID of the class is {chosen}"
                );
            }
            return Ok(Self::Machine { client: Some(client.clone()).filter(|client| !client.is_empty()) });
        }
        let modes =
            ["useVMManagedIdentity", "usePodIdentity", "useAzureTokenProxy"].map(|mode| class.says(mode));
        let [Ok(managed), Ok(pod), Ok(bound)] = modes else {
            // The class does not tell, which is a finding of its own.
            return Ok(Self::OfClass);
        };
        if managed || pod {
            if args.token_file.is_some() {
                tracing::warn!("--token-file has no effect: the class names a managed identity");
            }
            return Ok(Self::OfClass);
        }
        let audience = if bound { IDENTITY_BINDING_AUDIENCE } else { TOKEN_EXCHANGE_AUDIENCE };
        let client = || class.text("clientID").map(str::to_owned).or_else(|| environment(CLIENT));
        let by_environment = || Some((PathBuf::from(environment(TOKEN_FILE)?), TOKEN_FILE));
        let file = args.token_file.clone().map(|file| (file, "--token-file")).or_else(by_environment);
        if let Some((file, name)) = file {
            let source = format!("{name}={}", file.display());
            let token = Token::read(&file, audience, source, client());
            return token.map(Self::ServiceAccount).map_err(|mistake| vec![mistake]);
        }
        let is_principal = environment(CLIENT_SECRET).is_some() || environment(CERTIFICATE_FILE).is_some();
        if is_principal && !bound {
            return service_principal(environment);
        }
        if is_dry_run {
            let account = args.service_account.clone();
            return Ok(Self::Tokenless { client: client(), account, audience });
        }
        let create = create_token(class, args, audience);
        let (problem, help) = if bound {
            let problem = format!(
                "it is missing: useAzureTokenProxy needs a service account token of audience {audience}"
            );
            (problem, create)
        } else {
            let problem = format!("no credentials found{}", empty_variables(environment));
            let others = format!(
                "{create}; or set {CLIENT} with {CLIENT_SECRET} or {CERTIFICATE_FILE} for a service principal; or give --managed-identity on a virtual machine of Azure"
            );
            (problem, others)
        };
        Err(vec![Message::error(format!("--token-file (or {TOKEN_FILE})"), problem).help(help)])
    }

    /// Flags of which only one can be given.
    pub(super) fn contradiction(args: &CallerArgs) -> Option<Message> {
        let both = args.managed_identity.is_some() && args.token_file.is_some();
        let mistake = Message::error("--managed-identity", "it cannot be combined with --token-file");
        both.then(|| mistake.help("keep one of the two").usage())
    }

    /// What it is known by, without what it says of itself.
    pub(super) fn source(&self) -> &str {
        match self {
            Self::OfClass => "",
            Self::Machine { .. } => "--managed-identity",
            Self::ServiceAccount(token) => &token.source,
            Self::ServicePrincipal { source, .. } => source,
            Self::Tokenless { .. } => "--token-file",
        }
    }
}

/// Variables that say nothing, as `export AZURE_CLIENT_SECRET=$UNSET` makes them.
fn empty_variables(environment: &dyn Fn(&str) -> Option<String>) -> String {
    let names = [TOKEN_FILE, CLIENT, CLIENT_SECRET, CERTIFICATE_FILE].into_iter();
    let empty = names.filter(|name| std::env::var_os(name).is_some() && environment(name).is_none());
    match empty.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => names,
        names => format!("; set, but empty: {names}"),
    }
}

/// How to get a token for the service account that the command stands for.
fn create_token(class: &Class, args: &CallerArgs, audience: &str) -> String {
    let account = args.service_account.as_deref().unwrap_or("SERVICE_ACCOUNT");
    let namespace = args.namespace.as_deref().or(class.namespace.as_deref());
    let namespace = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    format!(
        "kubectl create token {account}{namespace} --audience {audience} > token, and give --token-file token"
    )
}

pub(super) const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
pub(super) const CLIENT: &str = "AZURE_CLIENT_ID";
pub(super) const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
pub(super) const CERTIFICATE_FILE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const CERTIFICATE_PASSWORD: &str = "AZURE_CLIENT_CERTIFICATE_PASSWORD";

fn service_principal(environment: &dyn Fn(&str) -> Option<String>) -> Result<Caller, Vec<Message>> {
    let mut mistakes = Vec::new();
    let (credential, name) = match (environment(CLIENT_SECRET), environment(CERTIFICATE_FILE)) {
        (secret, None) => {
            (secret.map(|secret| ClientCredential::Secret(SecretText::new(secret))), CLIENT_SECRET)
        }
        (None, Some(file)) => match certificate(file.as_ref()) {
            Ok(certificate) => (Some(ClientCredential::Certificate(certificate)), CERTIFICATE_FILE),
            Err(mistake) => {
                mistakes.push(mistake);
                (None, CERTIFICATE_FILE)
            }
        },
        (Some(_), Some(_)) => {
            let mistake = Message::error(CERTIFICATE_FILE, format!("{CLIENT_SECRET} is set too"));
            mistakes.push(mistake.help("keep one of the two"));
            (None, CLIENT_SECRET)
        }
    };
    if environment(CERTIFICATE_FILE).is_some() && environment(CERTIFICATE_PASSWORD).is_some() {
        let problem = "it is set, and certificates with a password are not read";
        mistakes.push(Message::error(CERTIFICATE_PASSWORD, problem).help("give a certificate without one"));
    }
    let client = environment(CLIENT);
    match &client {
        None => {
            let problem = format!("{name} is set, and {CLIENT} is not");
            mistakes.push(
                Message::error(CLIENT, problem).help("set it to the client id of the service principal"),
            );
        }
        // Not shown: it is the secret where the two were exchanged.
        Some(client) if ClientId::parse_uuid(client).is_none() => {
            mistakes.push(
                Message::error(CLIENT, format!("{CLIENT} is not a client id"))
                    .help("set it to the client id of the service principal, a UUID"),
            );
        }
        Some(_) => {}
    }
    match (client, credential) {
        (Some(client), Some(credential)) if mistakes.is_empty() => {
            Ok(Caller::ServicePrincipal { client, credential, source: format!("{CLIENT} and {name}") })
        }
        _ => Err(mistakes),
    }
}

/// PEM as it is; PKCS#12, which is binary, in base64.
fn certificate(file: &Path) -> Result<SecretText, Message> {
    let read = std::fs::read(file).map_err(|error| {
        Message::error(
            format!("{CERTIFICATE_FILE}={}", file.display()),
            format!("it cannot be read: {error}"),
        )
        .help("name a file with the certificate and its private key, PEM or PKCS#12")
    })?;
    let bytes = SecretBytes::new(read);
    Ok(SecretText::new(match crate::text::decode(bytes.expose().to_vec()) {
        Ok(text) => text,
        Err(_) => BASE64.encode(bytes.expose()),
    }))
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfClass => f.write_str("what the class says"),
            Self::Machine { .. } => f.write_str("--managed-identity"),
            Self::Tokenless { audience, .. } => {
                write!(f, "a service account token of audience {audience}, which is not given (--token-file)")
            }
            Self::ServiceAccount(token) => {
                let Claims { subject, issuer, audiences, .. } = token.claims();
                let audiences = audiences.join(" ");
                write!(f, "{}, subject {subject}, issuer {issuer}, audience {audiences}", token.source)
            }
            Self::ServicePrincipal { source, .. } => f.write_str(source),
        }
    }
}
