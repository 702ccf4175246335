//! How to reach Kafka: brokers, TLS, SASL, and any further librdkafka property. Made once from the
//! configuration; the consumer and all producers start from the same `rdkafka::ClientConfig`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl Protocol {
    /// The name that Kafka's clients use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// Encryption and login. Secrets are shown nowhere.
#[derive(Clone, Default)]
pub struct Security {
    /// How the connection is protected.
    pub protocol: Protocol,
    /// PEM file of the authorities to trust; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, for mutual TLS.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub key_file: Option<PathBuf>,
    /// Password of that key.
    pub key_password: Option<String>,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    pub mechanism: Option<String>,
    /// SASL user.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<String>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        f.debug_struct("Security")
            .field("protocol", &self.protocol)
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .field("key_password", &masked(&self.key_password))
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &masked(&self.password))
            .finish()
    }
}

/// A Kafka cluster and how to speak to it.
#[derive(Clone, Default)]
pub struct Connection {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Encryption and login.
    pub security: Security,
    /// Further librdkafka properties, by their own names; they win over what is above.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for Connection {
    /// Shows the names of properties and never their values: any of them may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("brokers", &self.brokers)
            .field("security", &self.security)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Connection {
    /// The properties that every client of this cluster starts from.
    pub fn client_config(&self) -> ClientConfig {
        let Security { protocol, ca_file, certificate_file, key_file, .. } = &self.security;
        let Security { key_password, mechanism, username, password, .. } = &self.security;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        // OpenSSL is built in and knows no system's folders; librdkafka looks where systems keep them.
        let system = protocol.has_tls().then(|| "probe".to_owned());
        let mut config = ClientConfig::new();
        for (name, value) in [
            ("bootstrap.servers", Some(self.brokers.clone())),
            ("security.protocol", Some(protocol.name().to_owned())),
            ("ssl.ca.location", path(ca_file).or(system)),
            ("ssl.certificate.location", path(certificate_file)),
            ("ssl.key.location", path(key_file)),
            ("ssl.key.password", key_password.clone()),
            ("sasl.mechanism", mechanism.clone()),
            ("sasl.username", username.clone()),
            ("sasl.password", password.clone()),
        ] {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
        config.extend(self.properties.clone());
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_reach_the_client_and_no_debug_output() {
        let connection = Connection {
            brokers: "kafka:9093".into(),
            security: Security {
                protocol: Protocol::SaslSsl,
                ca_file: Some("/ca.pem".into()),
                key_password: Some("hunter1".into()),
                mechanism: Some("SCRAM-SHA-512".into()),
                username: Some("plimsoll".into()),
                password: Some("hunter2".into()),
                ..Security::default()
            },
            properties: [("sasl.oauthbearer.client.secret".to_owned(), "hunter3".to_owned())].into(),
        };
        let config = connection.client_config();
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("ssl.key.password"), Some("hunter1"));
        assert_eq!(config.get("ssl.ca.location"), Some("/ca.pem"));
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
        assert!(!format!("{connection:?}").contains("hunter"), "{connection:?}");
    }

    #[test]
    fn properties_win_and_tls_without_an_authority_trusts_the_systems() {
        let mut connection = Connection { brokers: "a:1".into(), ..Connection::default() };
        assert_eq!(connection.client_config().get("ssl.ca.location"), None);
        connection.security.protocol = Protocol::Ssl;
        assert_eq!(connection.client_config().get("ssl.ca.location"), Some("probe"));
        connection.properties.insert("ssl.ca.location".into(), "/other".into());
        assert_eq!(connection.client_config().get("ssl.ca.location"), Some("/other"));
    }
}
