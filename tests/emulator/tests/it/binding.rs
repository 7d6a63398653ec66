//! AKS identity binding: the cluster's token proxy, and how clients find it.

use std::sync::Arc;

use keyvault_emulator::{
    Emulator, FederatedCredential, IDENTITY_BINDING_AUDIENCE, Identity, Options, RequestKind, Seed,
};
use reqwest::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::azure::{APP, Azure, TENANT, VAULT_SCOPE, assertion_form, refused, trusting};

const API_SERVER: &str = "hcp-kubernetes.6620a1b2c3d4.svc.cluster.local";
const TOKEN_PROXY: &str = "a1b2c3.ests.aks";

async fn azure() -> Azure {
    let mut identity = Identity::new("app", APP).federated("default", "app");
    identity.federated_credentials.push(FederatedCredential::identity_binding("default", "app"));
    let options = Options { api_server_name: Some(API_SERVER.to_owned()), ..Options::default() };
    Azure::holding(Seed::default().identity(identity), options).await
}

fn assertion(azure: &Azure) -> String {
    azure.service_account().audience(IDENTITY_BINDING_AUDIENCE).build()
}

/// Asks the token proxy, as a client does that sends its server name to the API server's address.
async fn exchange(azure: &Azure, path: &str, assertion: &str) -> Response {
    let address = azure.emulator.address();
    let client = trusting(&azure.emulator).resolve(TOKEN_PROXY, address).build().unwrap();
    let url = format!("https://{TOKEN_PROXY}:{}{path}", address.port());
    client.post(url).form(&assertion_form(APP, VAULT_SCOPE, assertion)).send().await.unwrap()
}

/// A client's end of TLS that asks for this server name.
async fn secure(emulator: &Emulator, stream: TcpStream, server_name: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(emulator.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(server_name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// The certificate that is served for a server name.
async fn certificate(emulator: &Emulator, server_name: &str) -> Vec<u8> {
    let stream = TcpStream::connect(emulator.address()).await.unwrap();
    let stream = secure(emulator, stream, server_name).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn position(der: &[u8], name: &str) -> Option<usize> {
    der.windows(name.len()).position(|window| window == name.as_bytes())
}

#[tokio::test]
async fn the_token_proxy_exchanges_tokens_of_its_own_audience_under_any_prefix() {
    let azure = azure().await;
    for prefix in ["", "/some/prefix"] {
        let path = format!("{prefix}/{TENANT}/oauth2/v2.0/token");
        assert_eq!(exchange(&azure, &path, &assertion(&azure)).await.status(), 200);
        let request = azure.emulator.requests().pop().unwrap();
        assert_eq!(request.server_name.as_deref(), Some(TOKEN_PROXY));
        assert_eq!((request.kind, request.path_and_query), (RequestKind::Token, path));
    }
}

#[tokio::test]
async fn neither_proxy_nor_entra_takes_what_is_meant_for_the_other() {
    let azure = azure().await;
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let usual = azure.service_account().build();
    let expected = (401, "invalid_client".to_owned(), 700_212);
    assert_eq!(refused(exchange(&azure, &path, &usual).await).await, expected);
    assert_eq!(refused(azure.exchange(&assertion(&azure)).await).await, expected);
    assert_eq!(azure.exchange(&usual).await.status(), 200);
    let forged = azure.service_account().audience(IDENTITY_BINDING_AUDIENCE).forged().build();
    assert_eq!(refused(exchange(&azure, &path, &forged).await).await.2, 700_027);
}

#[tokio::test]
async fn the_token_proxy_serves_nothing_else() {
    let azure = azure().await;
    assert_eq!(exchange(&azure, "/openid/v1/jwks", "x").await.status(), 404);
    assert_eq!(azure.emulator.count(RequestKind::Other), 1);
}

#[tokio::test]
async fn the_token_proxy_is_known_by_its_server_name_whatever_host_is_asked() {
    let azure = azure().await;
    let mut tunnel = TcpStream::connect(azure.emulator.proxy_url().replace("http://", "")).await.unwrap();
    tunnel.write_all(b"CONNECT kubernetes.test:443 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tunnel.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));

    let mut stream = secure(&azure.emulator, tunnel, TOKEN_PROXY).await;
    let assertion = assertion(&azure);
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(assertion_form(APP, VAULT_SCOPE, &assertion))
        .finish();
    let request = format!(
        "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: kubernetes.test\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let request = azure.emulator.requests().pop().unwrap();
    assert_eq!(
        (request.host.as_str(), request.server_name.as_deref()),
        ("kubernetes.test", Some(TOKEN_PROXY))
    );
}

#[tokio::test]
async fn the_api_servers_certificate_names_the_cluster_first() {
    let azure = azure().await;
    for host in ["127.0.0.1", "kubernetes.test", "kubernetes.default.svc"] {
        let der = certificate(&azure.emulator, host).await;
        let cluster = position(&der, API_SERVER).unwrap();
        let own = if host == "127.0.0.1" { "localhost" } else { host };
        assert!(cluster < position(&der, own).unwrap(), "{host}");
    }
    for host in ["login.microsoftonline.com", "v.vault.azure.net", TOKEN_PROXY] {
        assert_eq!(position(&certificate(&azure.emulator, host).await, API_SERVER), None, "{host}");
    }
}

#[tokio::test]
async fn a_name_that_no_certificate_can_have_keeps_the_emulator_from_starting() {
    let options = Options { api_server_name: Some("püré".to_owned()), ..Options::default() };
    assert!(Emulator::start_with(Seed::default(), options).await.is_err());
}
