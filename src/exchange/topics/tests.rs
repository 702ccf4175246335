//! What is a fault of a topic, what is only a difference, and in which words both are told. Without a
//! broker: what one would answer is given.

use super::*;

const THERE: Looked = Looked::Exists { partitions: 1, replication_factor: 1 };

fn topic(name: &str, partitions: i32, retention: Retention) -> Topic {
    Topic { name: name.into(), partitions: Some(partitions), retention, ..Topic::default() }
}

fn pair(of: [i32; 2]) -> Vec<String> {
    let topics = [topic("x.partials", 8, Retention::Delete), topic("x.state", 8, Retention::Compact)];
    let all = of.map(|partitions| Looked::Exists { partitions, replication_factor: 1 });
    let faults = { topics.iter().zip(&all) }
        .flat_map(|(topic, looked)| judge(topic, looked, None, &topics, &all).faults);
    faults.map(|fault| fault.to_string()).collect()
}

#[test]
fn topics_that_belong_together_have_as_many_partitions() {
    assert_eq!(pair([8, 8]), Vec::<String>::new());
    let unequal = pair([4, 8]);
    assert_eq!(unequal.len(), 1);
    assert!(
        unequal[0].starts_with(
            "topic 'x.partials' has 4 partitions and 'x.state' has 8, and `kafka.exchange.partitions` is 8"
        ),
        "{unequal:?}"
    );
    let other = pair([12, 12]);
    assert!(other.len() == 2 && other[0].ends_with("so set the key to 12"), "{other:?}");
}

#[test]
fn a_setting_that_loses_messages_is_a_fault_and_any_other_a_difference() {
    let told = |topic: &Topic, settings: &[(&str, &str)]| {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = judge(topic, &THERE, Some(&settings), &[], &[]);
        (found.faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"), found.differences)
    };
    let state = topic("x.state", 1, Retention::Compact);
    let (faults, _) = told(&state, &[("cleanup.policy", "compact,delete")]);
    assert!(
        faults.starts_with(
            "topic 'x.state' has cleanup.policy=compact,delete and must have cleanup.policy=compact: "
        ),
        "{faults}"
    );
    let (faults, differences) =
        told(&state, &[("cleanup.policy", "compact"), ("segment.bytes", "1073741824")]);
    assert_eq!((faults.as_str(), differences.len()), ("", 1));
    assert_eq!(differences[0], "segment.bytes is 1073741824, not 16777216");

    let audit = topic("x.audit", 1, Retention::Forever);
    let (faults, _) = told(
        &audit,
        &[("cleanup.policy", "delete"), ("retention.ms", "604800000"), ("retention.bytes", "-1")],
    );
    assert!(
        faults.contains("retention.ms=604800000") && faults.contains("--add-config retention.ms=-1"),
        "{faults}"
    );
    let decisions = topic("x.decisions", 1, Retention::For(Duration::from_secs(3600)));
    let (faults, differences) = told(&decisions, &[("cleanup.policy", "delete"), ("retention.ms", "60000")]);
    assert_eq!((faults.as_str(), differences[0].as_str()), ("", "retention.ms is 60000, not 3600000"));
}

#[test]
fn a_write_waits_for_two_copies_where_there_are_three() {
    let settings = |copies| {
        let topic = Topic { replication_factor: copies, ..topic("x", 1, Retention::Compact) };
        topic.settings().into_iter().find(|(name, _)| *name == "min.insync.replicas").map(|(_, value)| value)
    };
    assert_eq!(settings(None), None);
    assert_eq!(settings(Some(2)), None);
    assert_eq!(settings(Some(3)).as_deref(), Some("2"));
}

#[test]
fn a_refusal_names_the_operation_that_is_to_be_granted_and_on_what() {
    let looked = Looked::Refused(RDKafkaErrorCode::TopicAuthorizationFailed);
    let outcome = judge(&topic("x.state", 1, Retention::Compact), &looked, None, &[], &[]);
    let told = outcome.faults[0].to_string();
    assert!(told.contains("grant Describe on topic 'x.state'"), "{told}");
    let fault =
        Fault::NotMade { topic: "x.state".into(), code: RDKafkaErrorCode::ClusterAuthorizationFailed };
    assert!(fault.to_string().contains("grant Create on topic 'x.state'"), "{fault}");
    assert!(Faults(vec![fault]).is_refusal());
    assert!(!Faults(vec![Fault::Missing { topic: "x".into() }]).is_refusal());
}
