//! Where requests go, and which addresses are refused. The address is shown nowhere, because its
//! path or query may be a secret.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Url};

/// Why a target cannot be called as configured. The address is never part of a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an address.
    #[error("the url is not a web address")]
    Url,
    /// Neither http nor https.
    #[error("the url begins with {scheme}, and must begin with https")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// In the clear over a network.
    #[error("the url must begin with https, because {host} is not this machine")]
    Plain {
        /// Where it goes.
        host: String,
    },
    /// A user name or a password in the address.
    #[error("the url holds a user name or a password, which an address must not")]
    Credentials,
    /// The file of authorities cannot be read.
    #[error("cannot read the authorities in {}", path.display())]
    ReadAuthorities {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The file of authorities holds no certificates.
    #[error("there is no certificate in PEM form in {}", path.display())]
    NoAuthorities {
        /// The file.
        path: PathBuf,
    },
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Where requests go, and how long one may take.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The address; https, or http on this machine.
    pub url: String,
    /// A PEM file of the only certificate authorities to trust; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take, from the first byte to the whole reply.
    pub timeout: Duration,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.checked_url().map(|url| url.origin().ascii_serialization());
        f.debug_struct("Place")
            .field("url", &origin.as_deref().unwrap_or("***"))
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Place {
    /// The address, if requests may go there.
    pub fn checked_url(&self) -> Result<Url, Error> {
        let url = Url::parse(&self.url).map_err(|_| Error::Url)?;
        let host = url.host_str().ok_or(Error::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Credentials);
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_this_machine(host) => Ok(url),
            "http" => Err(Error::Plain { host: host.to_owned() }),
            scheme => Err(Error::Scheme { scheme: scheme.to_owned() }),
        }
    }

    /// The private authorities, where there are any.
    pub(super) fn authorities(&self) -> Result<Option<Vec<Certificate>>, Error> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem =
            std::fs::read(path).map_err(|source| Error::ReadAuthorities { path: path.clone(), source })?;
        match Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates)),
            Ok(_) | Err(_) => Err(Error::NoAuthorities { path: path.clone() }),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        Place { url: url.to_owned(), ca_file: None, timeout: Duration::from_secs(10) }
    }

    #[test]
    fn only_https_leaves_this_machine() {
        for url in
            ["https://hooks.example/x", "http://127.0.0.1:9/x", "http://[::1]:9/x", "http://localhost:9/x"]
        {
            assert!(place(url).checked_url().is_ok(), "{url}");
        }
        for url in [
            "http://hooks.example/x",
            "http://10.0.0.1/x",
            "http://localhost.example/x",
            "http://127.0.0.1.example/x",
            "ftp://localhost/x",
            "https://user:word@hooks.example/x",
            "https://user@hooks.example/x",
            "/x",
            "https://",
            "",
        ] {
            assert!(place(url).checked_url().is_err(), "{url}");
        }
    }

    #[test]
    fn neither_path_nor_query_nor_credentials_are_shown() {
        for url in
            ["https://hooks.example/T0/hunter2?key=hunter2", "https://u:hunter2@hooks.example/", "hunter2"]
        {
            let place = place(url);
            let shown = format!("{place:?} {:?}", place.checked_url().err().map(|error| error.to_string()));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let place = Place { ca_file: Some(path.clone()), ..place("https://hooks.example/x") };
        assert!(matches!(place.authorities(), Err(Error::ReadAuthorities { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(place.authorities(), Err(Error::NoAuthorities { .. })));
    }
}
