//! TLS of the HTTP interface: version 1.2 or later, and with an authority for clients none without a
//! certificate of it. The files are read at start, so that a wrong one is found before anything is
//! served, and again when one of them changes, because certificates are renewed while daemons run.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509Name;

/// How often changed files are looked for, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM: the certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: authorities of which everybody who connects has to show a certificate.
    pub client_authorities: Option<PathBuf>,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// OpenSSL cannot be prepared.
    #[error("cannot prepare TLS")]
    Prepare(#[source] ErrorStack),
    /// A file cannot be used.
    #[error("cannot use {} as {what}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// As what.
        what: &'static str,
        /// What OpenSSL says.
        source: ErrorStack,
    },
}

/// Begins TLS on connections. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Files,
    current: Mutex<Current>,
}

struct Current {
    acceptor: SslAcceptor,
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

impl Files {
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()];
        let changed = |file: &PathBuf| std::fs::metadata(file).and_then(|found| found.modified()).ok();
        files.into_iter().flatten().map(changed).collect()
    }

    fn acceptor(&self) -> Result<SslAcceptor, Error> {
        let wrong = |file: &PathBuf, what| {
            let file = file.clone();
            move |source| Error::File { file, what, source }
        };
        let mut builder =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).map_err(Error::Prepare)?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(Error::Prepare)?;
        builder
            .set_certificate_chain_file(&self.certificate)
            .map_err(wrong(&self.certificate, "the certificate"))?;
        builder
            .set_private_key_file(&self.key, SslFiletype::PEM)
            .map_err(wrong(&self.key, "the private key"))?;
        builder.check_private_key().map_err(wrong(&self.key, "the key of the certificate"))?;
        if let Some(file) = &self.client_authorities {
            let what = "the authorities of clients";
            builder.set_ca_file(file).map_err(wrong(file, what))?;
            builder.set_client_ca_list(X509Name::load_client_ca_file(file).map_err(wrong(file, what))?);
            // A session that is taken up again was begun by a client of this interface.
            builder.set_session_id_context(b"plimsoll").map_err(Error::Prepare)?;
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        Ok(builder.build())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(files: Files) -> Result<Self, Error> {
        let changed = files.changed();
        let current = Current { acceptor: files.acceptor()?, changed, looked: Instant::now() };
        Ok(Self(Arc::new(Shared { files, current: Mutex::new(current) })))
    }

    /// The server's side of a new connection, which shakes hands with the first byte that is read.
    pub(super) fn begin(&self) -> Result<Ssl, ErrorStack> {
        let acceptor = self.acceptor();
        let mut ssl = Ssl::new(acceptor.context())?;
        ssl.set_accept_state();
        Ok(ssl)
    }

    fn acceptor(&self) -> SslAcceptor {
        // An acceptor is replaced as a whole, so a panic elsewhere leaves nothing half done.
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let changed = self.0.files.changed();
            if changed != current.changed {
                match self.0.files.acceptor() {
                    Ok(acceptor) => {
                        tracing::info!(
                            certificate = %self.0.files.certificate.display(),
                            "the certificate was read again"
                        );
                        (current.acceptor, current.changed) = (acceptor, changed);
                    }
                    // Written in two steps, perhaps; the old one serves until both are there.
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the changed certificate cannot be used; the old one stays"
                    ),
                }
            }
        }
        current.acceptor.clone()
    }
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::bn::BigNum;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::X509;

    use super::*;

    /// Writes a certificate with this serial number, and its key.
    fn write(files: &Files, serial: u32) {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        std::fs::write(&files.certificate, builder.build().to_pem().unwrap()).unwrap();
        std::fs::write(&files.key, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    }

    fn serial(tls: &Tls) -> Option<BigNum> {
        tls.acceptor().context().certificate()?.serial_number().to_bn().ok()
    }

    /// As if nobody had looked, and the files were known from another time.
    fn forget(tls: &Tls) {
        let mut current = tls.0.current.lock().unwrap();
        current.looked = current.looked.checked_sub(LOOK_EVERY).unwrap();
        current.changed.clear();
    }

    #[test]
    fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let files = Files { certificate: file("a.pem"), key: file("a.key"), client_authorities: None };
        write(&files, 1);
        let tls = Tls::new(files.clone()).unwrap();
        write(&files, 2);
        assert_eq!(serial(&tls), BigNum::from_u32(1).ok(), "nobody has looked yet");
        forget(&tls);
        assert_eq!(serial(&tls), BigNum::from_u32(2).ok());
        std::fs::write(&files.certificate, "half a cert").unwrap();
        forget(&tls);
        assert_eq!(serial(&tls), BigNum::from_u32(2).ok());
    }
}
