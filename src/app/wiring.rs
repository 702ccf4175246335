//! From the configuration to what each adapter takes. Adapters own their settings and know no
//! configuration file; this is where the two meet.

mod actions;
mod targets;

use std::collections::BTreeMap;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::action::webhook;
use crate::audit::{Checkpoints, KafkaConfig};
use crate::config::{self, Config, Errors, Kafka, Problem, Role};
use crate::exchange::topics::{Retention, Topic};
use crate::exchange::{self, Connection, Keep, Protocol, Security};
use crate::ingest::kafka as ingest;
use crate::telemetry::logging;

pub use actions::actions;

/// Largest message of the control topic: a whole configuration in one piece.
pub const CONTROL_BYTES: u32 = 8 << 20;

/// The connection to Kafka, for consumers and producers alike.
pub fn connection(kafka: &Kafka) -> Connection {
    let expose = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let security = &kafka.security;
    Connection {
        brokers: kafka.brokers.clone(),
        security: Security {
            protocol: match security.protocol {
                config::Protocol::Plaintext => Protocol::Plaintext,
                config::Protocol::Ssl => Protocol::Ssl,
                config::Protocol::SaslPlaintext => Protocol::SaslPlaintext,
                config::Protocol::SaslSsl => Protocol::SaslSsl,
            },
            ca_file: security.ca_file.clone(),
            certificate_file: security.certificate_file.clone(),
            key_file: security.key_file.clone(),
            key_password: expose(&security.key_password),
            mechanism: security.mechanism.map(|mechanism| mechanism.name().to_owned()),
            username: security.username.clone(),
            password: expose(&security.password),
        },
        properties: kafka
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
    }
}

/// The consumer of the input topics.
pub fn source(kafka: &Kafka, config: &Config) -> ingest::Config {
    ingest::Config {
        client: connection(kafka).client_config(),
        group: kafka.group.clone(),
        topics: config.topics.iter().map(|topic| topic.name.clone()).collect(),
        offset_reset: match kafka.offset_reset {
            config::OffsetReset::Earliest => ingest::OffsetReset::Earliest,
            config::OffsetReset::Latest => ingest::OffsetReset::Latest,
            config::OffsetReset::Error => ingest::OffsetReset::Error,
        },
    }
}

/// The consumer of one of plimsoll's own topics, for `role`.
pub fn exchange_source(kafka: &Kafka, role: config::Role, topic: &str) -> ingest::Config {
    let mut client = connection(kafka).client_config();
    // An evaluator that restores does not poll, and must not be taken for dead meanwhile.
    if role == config::Role::Evaluate && client.get("max.poll.interval.ms").is_none() {
        client.set("max.poll.interval.ms", "120000");
    }
    ingest::Config {
        client,
        group: kafka.group_of(role),
        topics: vec![topic.to_owned()],
        offset_reset: ingest::OffsetReset::Earliest,
    }
}

/// The producer of findings and dead letters.
pub fn producer(kafka: &Kafka) -> exchange::kafka::Config {
    exchange::kafka::Config {
        client: connection(kafka).client_config(),
        dead_letter_topic: kafka.dead_letter_topic.clone(),
        keep: Keep { key: false, value_bytes: kafka.dead_letter_value_bytes },
        findings_topic: kafka.findings_topic.clone(),
    }
}

/// All of plimsoll's own topics, whatever the roles of this process. None without Kafka.
pub fn own_topics(config: &Config) -> Vec<Topic> {
    topics_of(config, &Role::ALL)
}

/// Those of plimsoll's own topics that this process reads or writes in its roles, which is all that it
/// needs a right to see. Whatever its roles, it publishes a configuration that the others do not have:
/// word of that goes into the exchange, and from when it holds follows from what observers and evaluators
/// have told. Who starts first must not wait for a topic that nobody has made.
pub fn role_topics(config: &Config) -> Vec<Topic> {
    topics_of(config, &config.roles.iter().copied().collect::<Vec<_>>())
}

fn topics_of(config: &Config, roles: &[Role]) -> Vec<Topic> {
    use Role::{Act, Evaluate, Observe};
    let Some(kafka) = &config.kafka else { return Vec::new() };
    let exchange = &kafka.exchange;
    let topic = |name: String, partitions: Option<i32>, retention: Retention| Topic {
        name,
        partitions,
        retention,
        replication_factor: exchange.replication_factor,
        max_message_bytes: None,
    };
    let (shared, kept) = (Some(exchange.partitions), Retention::For(exchange.retention));
    let control = topic(exchange.control_topic(), Some(1), Retention::Compact);
    let mut topics: Vec<(&[Role], Topic)> = vec![
        (&Role::ALL, topic(exchange.partials_topic(), shared, kept)),
        (&Role::ALL, topic(exchange.state_topic(), shared, Retention::Compact)),
        (&[Evaluate, Act], topic(exchange.decisions_topic(), Some(1), kept)),
        (&Role::ALL, Topic { max_message_bytes: Some(CONTROL_BYTES), ..control }),
    ];
    if let config::AuditStore::Kafka { topic: name, checkpoint_topic } = &config.audit.store {
        topics.push((&[Act], topic(name.clone(), Some(1), Retention::Forever)));
        if config.audit.signing.is_some() {
            topics.push((&[Act], topic(checkpoint_topic.clone(), Some(1), Retention::Forever)));
        }
    }
    for (role, name) in [(&[Evaluate], &kafka.findings_topic), (&[Observe], &kafka.dead_letter_topic)] {
        let Some(name) = name else { continue };
        topics.push((role, topic(name.clone(), None, Retention::Delete)));
    }
    let ours = |of: &[Role]| of.iter().any(|role| roles.contains(role));
    topics.into_iter().filter(|(of, _)| ours(of)).map(|(_, topic)| topic).collect()
}

/// The name of this process within its group: the one that is configured, or the machine's.
///
/// # Errors
/// When none is configured and the machine's is not there or cannot serve as one; it names the key to set.
pub fn instance(kafka: &Kafka) -> Result<String, Errors> {
    if let Some(name) = &kafka.instance {
        return Ok(name.clone());
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    named([kernel, std::env::var("HOSTNAME").ok()])
}

/// The first host name that says anything, as the name of an instance.
fn named(hosts: [Option<String>; 2]) -> Result<String, Errors> {
    let wrong = |message: String| Errors(vec![Problem::new("kafka.instance", message)]);
    let host = hosts.into_iter().flatten().map(|host| host.trim().to_owned()).find(|host| !host.is_empty());
    let host = host.ok_or_else(|| {
        wrong("missing; this machine tells no host name to take instead, so set `kafka.instance`".to_owned())
    })?;
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if host.len() > 200 || !host.chars().all(legal) {
        let message = format!(
            "missing; the host name `{host}` cannot be taken instead (at most 200 letters, digits, `-`, `_` and `.`), so set `kafka.instance`"
        );
        return Err(wrong(message));
    }
    Ok(host)
}

/// The transactional id of `role` in the process called `instance`. A process that starts with the id
/// of one that died ends what that had open.
pub fn transactional_id(kafka: &Kafka, role: Role, instance: &str) -> String {
    format!("{}.{}.{instance}", kafka.group, role.name())
}

/// The transactional id by which the process called `instance` publishes configurations.
pub fn control_id(kafka: &Kafka, instance: &str) -> String {
    format!("{}.control.{instance}", kafka.group)
}

/// The properties of any client, by librdkafka's names; secrets are among them.
fn properties(kafka: &Kafka) -> BTreeMap<String, String> {
    let client = connection(kafka).client_config();
    // The map shows secrets as stars; only `get` tells them.
    let property = |name: &&str| Some(((*name).to_owned(), client.get(name)?.to_owned()));
    client.config_map().keys().filter_map(property).collect()
}

/// The audit log's topics: that of its entries, and that of its checkpoints where they are signed.
pub fn audit_topics(kafka: &Kafka, audit: &config::Audit, topic: &str, checkpoints: &str) -> KafkaConfig {
    KafkaConfig {
        properties: properties(kafka),
        topic: topic.to_owned(),
        create: kafka.create_topics,
        checkpoints: signed(audit, checkpoints.to_owned()),
    }
}

/// The place of checkpoints, where they are signed.
pub fn signed<P>(audit: &config::Audit, place: P) -> Option<Checkpoints<P>> {
    audit.signing.clone().map(|signing| Checkpoints { place, signing })
}

/// Finds settings that only the adapters can judge: librdkafka's properties, signing keys, certificates.
///
/// # Errors
/// The first of them, with its place.
pub fn check(config: &Config) -> anyhow::Result<()> {
    if let Some(kafka) = &config.kafka {
        source(kafka, config).to_client_config().context("kafka")?;
    }
    super::people::services(&config.http, Default::default())?;
    for action in &config.actions {
        if let config::Target::Webhook(webhook) = &action.target {
            webhook::Secret::new(webhook.secret.expose())
                .with_context(|| format!("actions[{}].webhook.secret", action.name))?;
        }
        // Made as it would be to act, and dropped: this calls nothing.
        actions::check(action, config)?;
    }
    Ok(())
}

/// What the daemon logs.
pub fn logging(log: &config::Log) -> logging::Config {
    let format = match log.format {
        config::LogFormat::Text => logging::Format::Text,
        config::LogFormat::Json => logging::Format::Json,
    };
    logging::Config { format, level: log.level.clone() }
}

/// What the first audit entry of a run says of it.
pub fn started(command: &str, configuration: &[u8]) -> BTreeMap<String, String> {
    let digest: String = Sha256::digest(configuration).iter().map(|byte| format!("{byte:02x}")).collect();
    BTreeMap::from([
        ("command".to_owned(), command.to_owned()),
        ("configuration".to_owned(), format!("sha256:{digest}")),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_name_is_called_as_its_machine() {
        let named = |kernel: Option<&str>, variable: Option<&str>| {
            named([kernel.map(str::to_owned), variable.map(str::to_owned)]).map_err(|wrong| wrong.to_string())
        };
        assert_eq!(named(Some("plimsoll-0\n"), Some("other")).unwrap(), "plimsoll-0");
        assert_eq!(named(Some("\n"), Some("pod-7")).unwrap(), "pod-7");
        let nothing = named(None, None).unwrap_err();
        assert!(
            nothing.starts_with("kafka.instance: ") && nothing.contains("set `kafka.instance`"),
            "{nothing}"
        );
        let odd = named(Some("my host"), None).unwrap_err();
        assert!(odd.contains("`my host`") && odd.contains("set `kafka.instance`"), "{odd}");
    }
}
