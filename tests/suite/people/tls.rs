//! The interface under TLS, with certificates that are made here.

use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use plimsoll::api::Tls;
use plimsoll::api::client::{Client, Options};
use plimsoll::api::tls::Files;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::World;

/// A certificate with its key.
struct Certificate {
    x509: X509,
    key: PKey<Private>,
}

impl Certificate {
    /// Signed by `authority`, or by itself.
    fn new(name: &str, serial: u32, authority: Option<&Certificate>) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder
            .set_issuer_name(authority.map_or(&subject, |authority| authority.x509.subject_name()))
            .unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        if authority.is_none() {
            builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        } else {
            let context = builder.x509v3_context(None, None);
            let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&context).unwrap();
            builder.append_extension(names).unwrap();
        }
        let signer = authority.map_or(&key, |authority| &authority.key);
        builder.sign(signer, MessageDigest::sha256()).unwrap();
        Self { x509: builder.build(), key }
    }

    /// Writes both as PEM.
    fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate, self.x509.to_pem().unwrap()).unwrap();
        std::fs::write(&key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        (certificate, key)
    }
}

struct Files3 {
    folder: tempfile::TempDir,
    authority: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
    stranger: (PathBuf, PathBuf),
}

fn files() -> Files3 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let authority = Certificate::new("authority", 1, None);
    let other = Certificate::new("other", 2, None);
    let server = Certificate::new("plimsoll", 3, Some(&authority)).write(path, "server");
    let client = Certificate::new("client", 4, Some(&authority)).write(path, "client");
    let stranger = Certificate::new("stranger", 5, Some(&other)).write(path, "stranger");
    let authority = authority.write(path, "authority").0;
    Files3 { folder, authority, server, client, stranger }
}

fn tls(files: &Files3, clients: bool) -> Tls {
    Tls::new(Files {
        certificate: files.server.0.clone(),
        key: files.server.1.clone(),
        client_authorities: clients.then(|| files.authority.clone()),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_and_answers_travel_under_tls_and_plain_http_gets_nothing() {
    let (world, files) = (World::new(), files());
    let server =
        world.serve_with(plimsoll::api::Services { tls: Some(tls(&files, false)), ..world.services() }).await;
    let url = format!("https://{}", server.address);
    let options = Options {
        token: Some(world.operator.text.clone()),
        ca_file: Some(files.authority.clone()),
        ..Options::default()
    };
    let client = Client::new(&url, &options).unwrap();
    let body = serde_json::json!({"order": {"do": "freeze"}, "reason": "why"});
    client.post("/api/v1/commands", &body).await.unwrap();
    assert_eq!(world.delivered().len(), 1);
    // Without the authority the certificate is nobody's.
    let unsure = Client::new(&url, &Options::default()).unwrap();
    assert!(unsure.get("/healthz", &[]).await.is_err());
    // A client that speaks plain HTTP is not served, and keeps nobody waiting.
    let mut plain = tokio::net::TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _closed = plain.read_to_end(&mut bytes).await;
    assert!(!String::from_utf8_lossy(&bytes).contains("alive"));
    // One that never shakes hands does not either.
    let _silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    assert!(client.get("/healthz", &[]).await.unwrap().contains("alive"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_authority_for_clients_nobody_else_is_let_in() {
    let (world, files) = (World::new(), files());
    let server =
        world.serve_with(plimsoll::api::Services { tls: Some(tls(&files, true)), ..world.services() }).await;
    let url = format!("https://{}", server.address);
    let asked = async |certificate: Option<&(PathBuf, PathBuf)>| {
        let certificate = certificate.cloned();
        let options = Options { ca_file: Some(files.authority.clone()), certificate, ..Options::default() };
        Client::new(&url, &options).unwrap().get("/healthz", &[]).await
    };
    assert!(asked(Some(&files.client)).await.unwrap().contains("alive"));
    assert!(asked(Some(&files.client)).await.is_ok(), "a session that is taken up again");
    assert!(asked(Some(&files.stranger)).await.is_err(), "a certificate of somebody else");
    assert!(asked(None).await.is_err(), "none at all");
}

#[test]
fn a_key_of_another_certificate_is_found_out_at_start() {
    let files = files();
    let wrong =
        Files { certificate: files.server.0.clone(), key: files.client.1.clone(), client_authorities: None };
    let error = Tls::new(wrong).unwrap_err().to_string();
    assert!(error.contains("client.key"), "{error}");
    let missing = Files {
        certificate: files.folder.path().join("nothing.pem"),
        key: files.server.1.clone(),
        client_authorities: None,
    };
    assert!(Tls::new(missing).unwrap_err().to_string().contains("nothing.pem"));
}
