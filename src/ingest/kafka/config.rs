//! What the consumer is told. The connection (brokers, TLS, SASL, any further librdkafka property)
//! arrives as a ready `rdkafka::ClientConfig`, which consumers and producers share; this file adds
//! what reading with manual commits needs.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::{Deserialize, Serialize};

use super::Error;

/// Where to begin in a partition without a committed offset, or whose committed offset is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// At the oldest record that is still there.
    #[default]
    Earliest,
    /// At the end; records before it are never read.
    Latest,
    /// Nowhere: stop and say so.
    Error,
}

/// Properties that the source sets itself and that a configuration must not name: with another
/// value records would be lost or counted twice.
pub const RESERVED: &[&str] = &[
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "statistics.interval.ms",
];

/// Silence after which the group takes a member for dead, milliseconds.
const SESSION_TIMEOUT: u64 = 10_000;
/// Time without a poll after which a member leaves its group, milliseconds.
const MAX_POLL_INTERVAL: u64 = 30_000;

/// What the Kafka source needs.
#[derive(Clone)]
pub struct Config {
    /// The connection and any further librdkafka properties.
    pub client: ClientConfig,
    /// Consumer group; its committed offsets are where a restart begins.
    pub group: String,
    /// Topics to read.
    pub topics: Vec<String>,
    /// What to do in a partition without a committed offset.
    pub offset_reset: OffsetReset,
}

impl fmt::Debug for Config {
    /// Shows the names of the client's properties and never their values: any of them may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("client", &self.client.config_map().keys().collect::<Vec<_>>())
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("offset_reset", &self.offset_reset)
            .finish()
    }
}

impl Config {
    /// How long the group waits for a member that says nothing.
    ///
    /// Fails as `to_client_config` does.
    pub fn session_timeout(&self) -> Result<Duration, Error> {
        let config = self.to_client_config()?.create_native_config().map_err(Error::from_client)?;
        // With the newer group protocol the broker alone knows; its default is 45 s.
        let millis = config.get("session.timeout.ms").ok().and_then(|millis| millis.parse().ok());
        Ok(Duration::from_millis(millis.unwrap_or(45_000)))
    }

    /// The consumer's whole configuration, checked by librdkafka; nothing is connected.
    ///
    /// Fails on an unknown property, a value that librdkafka does not take, or a property that the
    /// source sets itself. The message names the property and never its value.
    pub fn to_client_config(&self) -> Result<ClientConfig, Error> {
        if let Some(name) = RESERVED.iter().find(|name| self.client.get(name).is_some()) {
            return Err(Error::Reserved { name: (*name).to_owned() });
        }
        let mut config = self.client.clone();
        // Defaults, which properties of the configuration may override.
        for (name, value) in [
            ("client.id", "plimsoll"),
            ("isolation.level", "read_committed"),
            // A full queue otherwise stops fetching for a whole second.
            ("fetch.queue.backoff.ms", "10"),
            ("queued.max.messages.kbytes", "131072"),
            ("fetch.wait.max.ms", "100"),
            ("max.partition.fetch.bytes", "4194304"),
            ("topic.metadata.refresh.interval.ms", "60000"),
        ] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        let (session, interval) = times(&config);
        if config.get("max.poll.interval.ms").is_none() {
            config.set("max.poll.interval.ms", interval.to_string());
        }
        // With the newer group protocol the broker decides these, and the client refuses them.
        if config.get("group.protocol") != Some("consumer") {
            if config.get("partition.assignment.strategy").is_none() {
                config.set("partition.assignment.strategy", "cooperative-sticky");
            }
            if config.get("session.timeout.ms").is_none() {
                config.set("session.timeout.ms", session.to_string());
            }
        }
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            // Lag, and the ends of partitions that share a number, are read from the statistics.
            .set("statistics.interval.ms", "1000")
            .set(
                "auto.offset.reset",
                match self.offset_reset {
                    OffsetReset::Earliest => "earliest",
                    OffsetReset::Latest => "latest",
                    OffsetReset::Error => "error",
                },
            )
            // Offset resets are reported as warnings, and only there.
            .set_log_level(RDKafkaLogLevel::Warning);
        config.create_native_config().map_err(Error::from_client)?;
        Ok(config)
    }
}

/// How long a member may be silent, and how long it may go without polling, in milliseconds. The
/// second is also how long a member that died while joining holds up the group. The client takes no
/// interval shorter than the session, so a default gives way to what is configured.
fn times(config: &ClientConfig) -> (u64, u64) {
    let given = |name| config.get(name).and_then(|value| value.parse::<u64>().ok());
    match (given("session.timeout.ms"), given("max.poll.interval.ms")) {
        (Some(session), None) => (session, MAX_POLL_INTERVAL.max(session)),
        (session, Some(interval)) => (session.unwrap_or(SESSION_TIMEOUT.min(interval)), interval),
        (None, None) => (SESSION_TIMEOUT, MAX_POLL_INTERVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> Config {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", "127.0.0.1:9");
        for (name, value) in properties {
            client.set(*name, *value);
        }
        Config { client, group: "g".into(), topics: vec!["t".into()], offset_reset: OffsetReset::Earliest }
    }

    #[test]
    fn every_reserved_property_is_refused_by_name() {
        for name in RESERVED {
            let error = config(&[(name, "true")]).to_client_config().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn offsets_are_never_committed_by_the_client_itself() {
        let config = config(&[]).to_client_config().unwrap();
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("earliest"));
    }

    #[test]
    fn a_property_of_the_configuration_wins_over_a_default() {
        let config = config(&[("max.poll.interval.ms", "90000"), ("group.protocol", "consumer")]);
        let config = config.to_client_config().unwrap();
        assert_eq!(config.get("max.poll.interval.ms"), Some("90000"));
        assert_eq!(config.get("partition.assignment.strategy"), None);
    }

    #[test]
    fn a_dead_member_is_noticed_soon_and_defaults_give_way_to_what_is_configured() {
        let of = |properties: &[(&str, &str)]| {
            let config = config(properties).to_client_config().unwrap();
            let get = |name| config.get(name).map(str::to_owned);
            (get("session.timeout.ms"), get("max.poll.interval.ms"))
        };
        let times = |session: &str, interval: &str| (Some(session.to_owned()), Some(interval.to_owned()));
        assert_eq!(of(&[]), times("10000", "30000"));
        assert_eq!(of(&[("session.timeout.ms", "45000")]), times("45000", "45000"));
        assert_eq!(of(&[("max.poll.interval.ms", "6500")]), times("6500", "6500"));
        assert_eq!(of(&[("group.protocol", "consumer")]), (None, Some("30000".to_owned())));
    }

    #[test]
    fn wrong_properties_are_named_and_their_values_never_shown() {
        for (name, value) in
            [("no.such.property", "hunter2"), ("enable.ssl.certificate.verification", "hunter2")]
        {
            let error = config(&[(name, value)]).to_client_config().unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(name) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn debug_output_holds_no_value_of_any_property() {
        let secrets =
            [("sasl.password", "hunter2"), ("ssl.key.pem", "hunter2"), ("bootstrap.servers", "hunter2")];
        let text = format!("{:?}", config(&secrets));
        assert!(text.contains("sasl.password") && !text.contains("hunter2"), "{text}");
    }
}
