//! Input topics, and that no topic is used for two things.

use crate::config::Source;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw;
use crate::config::tree::Topic;

pub(super) fn topics(root: &raw::Root, report: &mut Report) -> Option<Vec<Topic>> {
    let list = KeyPath::root("topics");
    report.distinct(&list, root.topics.iter().map(|topic| topic.name.as_str()));
    let topics: Vec<Option<Topic>> = root
        .topics
        .iter()
        .enumerate()
        .map(|(index, raw)| topic(raw, &list.at(index), root, report))
        .collect();
    topics.into_iter().collect()
}

fn topic(raw: &raw::Topic, path: &KeyPath, root: &raw::Root, report: &mut Report) -> Option<Topic> {
    report.topic_name(&path.key("name"), &raw.name);
    let models = KeyPath::root("models");
    let readers = || root.models.iter().filter(|model| model.topics.contains(&raw.name));
    if readers().next().is_none() && !report.removed.touches(&models) {
        report.warn(path, format!("no model reads `{}`: its records will all be rejected", raw.name));
    }
    let model = report.parse::<Source>(&path.key("model"), &raw.model.0);
    match &model {
        Some(Source::Literal(name)) => {
            let names = root.models.iter().map(|model| model.name.as_str());
            let found = report.find(&path.key("model"), "model", name, &models, names);
            if found.is_some() && !readers().any(|reader| reader.name == *name) {
                let wrong = format!("the model `{name}` does not list `{}` among its topics", raw.name);
                report.error(&path.key("model"), wrong);
            }
        }
        Some(source) => super::model::whole_record(source, &path.key("model"), report),
        None => {}
    }
    let allowed_lateness = report.duration(&path.key("allowed_lateness"), &raw.allowed_lateness);
    let idle_after = report.positive(&path.key("idle_after"), &raw.idle_after);
    Some(Topic {
        name: raw.name.clone(),
        model: model?,
        allowed_lateness: allowed_lateness?,
        idle_after: idle_after?,
    })
}

/// plimsoll must not read what it writes, nor write two kinds of message into one topic.
pub(super) fn distinct(root: &raw::Root, report: &mut Report) {
    let kafka = KeyPath::root("kafka");
    let mut taken: Vec<(&str, KeyPath)> = Vec::new();
    for (index, topic) in root.topics.iter().enumerate() {
        taken.push((&topic.name, KeyPath::root("topics").at(index)));
    }
    let in_kafka = root.audit.store != Some(raw::AuditStore::File);
    let audit = in_kafka.then_some(root.audit.topic.as_str());
    // Without a key nothing is written there.
    let signed = in_kafka && root.audit.key.is_some();
    let checkpoints = signed.then_some(root.audit.checkpoint_topic.as_str());
    let prefix = kafka.key("exchange").key("prefix");
    let exchange = exchange_topics(root, &prefix, report);
    let exchange = exchange.iter().map(|name| (Some(name.as_str()), prefix.clone()));
    for (name, path) in exchange.chain([
        (root.kafka.dead_letter_topic.as_deref(), kafka.key("dead_letter_topic")),
        (root.kafka.findings_topic.as_deref(), kafka.key("findings_topic")),
        (audit, KeyPath::root("audit").key("topic")),
        (checkpoints, KeyPath::root("audit").key("checkpoint_topic")),
    ]) {
        let Some(name) = name else { continue };
        if path != prefix {
            report.topic_name(&path, name);
        }
        if let Some((other_name, other)) = taken.iter().find(|(other, _)| alike(other, name)) {
            let other = report.original(other);
            let wrong = if *other_name == name {
                format!("`{name}` is already used by {other}")
            } else {
                format!(
                    "`{name}` cannot be beside `{other_name}` of {other}: Kafka takes `.` and `_` in names of topics for the same"
                )
            };
            report.error(&path, wrong);
        }
        taken.push((name, path));
    }
}

/// The topics over which the roles join; none where their names cannot be known.
fn exchange_topics(root: &raw::Root, path: &KeyPath, report: &mut Report) -> Vec<String> {
    let prefix = &root.kafka.exchange.prefix;
    let legal = prefix.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    if !legal {
        let wrong = "cannot begin the name of a Kafka topic: letters, digits, `.`, `_` and `-` only";
        report.error(path, format!("`{prefix}` {wrong}"));
        return Vec::new();
    }
    if report.lost(path) {
        return Vec::new();
    }
    ["partials", "state", "decisions", "control"].map(|name| format!("{prefix}.{name}")).to_vec()
}

/// Whether Kafka takes two names of topics for one, as it does in the names of its metrics; it refuses
/// to make the second.
fn alike(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one.bytes().zip(other.bytes()).all(|(a, b)| a == b || (b"._".contains(&a) && b"._".contains(&b)))
}
