//! Whatever is written to the topic of decisions, the log of the actor that reads it stays one that its own
//! reader and the verifiers take.

use std::path::Path;
use std::time::Duration;

use plimsoll::app::auditing::{Keys, Log, Source, Subject, prove, verify, verify_proof};
use plimsoll::audit::tlog::{Algorithm, SignerKey};
use plimsoll::audit::{Checkpoints, FileStore, Signing, Store};
use plimsoll::domain::{
    Decision, DecisionKind, EventTime, Finding, Metric, ModelKey, Report, Scope, Segment, SourcePartition,
    Verdict, Window,
};
use plimsoll::engine::actor::entry::Body;
use plimsoll::engine::actor::{ActionSpec, Actor, CallFinished, Config, Effect, Entry, Input, PolicyTerms};
use plimsoll::engine::decided::{Decided, Told, encode, encode_command, encode_report, read};
use plimsoll::safety::{
    Abilities, ActionKind, Command, Idempotency, ModelName, Order, PolicyMode, Reply, Role,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: i64 = 1_795_341_600_000;

fn config() -> Config {
    let spec = |name: &str, kind| ActionSpec {
        name: name.into(),
        kind,
        deadline: Duration::from_secs(60),
        finish_within: Duration::from_secs(60),
        target: "webhook".into(),
        idempotency: Idempotency::Keyed,
        abilities: Abilities::default(),
    };
    let terms = |mode| PolicyTerms { mode, rolls_back: true, model: "credit".into(), ..Default::default() };
    Config {
        policies: [("acts".into(), terms(PolicyMode::Auto)), ("asks".into(), terms(PolicyMode::Approve))]
            .into(),
        actions: vec![
            spec("back", ActionKind::Rollback),
            spec("train", ActionKind::Retrain),
            spec("tell", ActionKind::Notify),
        ],
        ..Config::default()
    }
}

fn time(millis: i64) -> EventTime {
    EventTime::from_millis(NOW + millis)
}

fn decision(kind: DecisionKind, policy: &str, version: &str, at: i64) -> Decision {
    let key = ModelKey {
        tenant: None,
        model: "credit".into(),
        version: version.into(),
        segment: Segment::All,
        profile: None,
    };
    let finding = Finding {
        tenant: None,
        model: "credit".into(),
        version: version.into(),
        window: Window { start: time(at - 60_000), end: time(at) },
        check: "psi".into(),
        metric: Metric::Psi,
        segment: Segment::All,
        scope: Scope::Feature { feature: "age".into() },
        reference: None,
        revision: 0,
        value: Some(0.1 + 0.2),
        interval: Some([0.1, 0.3]),
        p_value: Some(1e-300),
        expected: None,
        n: 500,
        n_reference: Some(1_000),
        bound: None,
        verdict: Some(Verdict::Breach),
        reason: None,
        standing_out: Vec::new(),
        sequential: None,
    };
    Decision {
        id: format!("{}-{policy}-{version}-{at}", kind.name()),
        kind,
        policy: policy.into(),
        decide: Default::default(),
        key,
        since: time(at - 60_000),
        at: time(at),
        actions: ["back", "train", "tell"].map(String::from).into(),
        evidence: vec![finding],
    }
}

/// What is written to the topic when all is well.
fn messages() -> Vec<Vec<u8>> {
    let decided = |kind, policy: &str, version: &str, at: i64| {
        let source = (SourcePartition::new("loans", 0), 12_345);
        encode(&decision(kind, policy, version, at), Some(NOW + at), &[source])
    };
    let report = Report {
        tenant: None,
        model: "credit".into(),
        from: time(-60_000),
        until: time(0),
        rows: [("v1".into(), 10), ("v2".into(), 500)].into(),
        standings: Vec::new(),
    };
    let command = |id: &str, order| {
        encode_command(&Command {
            id: id.into(),
            at: NOW,
            who: "alice".into(),
            role: Role::Approver,
            reason: "why".into(),
            order,
        })
    };
    let credit = || ModelName { tenant: None, model: "credit".into() };
    vec![
        encode_report(&report),
        decided(DecisionKind::Qualified, "acts", "v1", -9_000),
        decided(DecisionKind::Qualified, "asks", "v1", -8_000),
        decided(DecisionKind::Violated, "acts", "v2", -7_000),
        command("c1", Order::Hold(credit())),
        command("c2", Order::Release(credit())),
        decided(DecisionKind::Cleared, "acts", "v2", -6_000),
        decided(DecisionKind::Violated, "asks", "v3", -5_000),
        encode_report(&Report { from: time(0), until: time(60_000), ..report }),
    ]
}

fn signing() -> Signing {
    let key = SignerKey::new("plimsoll.example/audit", Algorithm::Ed25519, &[3; 32]).unwrap();
    Signing { key, former: Vec::new(), interval: Duration::ZERO }
}

fn open(path: &Path) -> (FileStore, Vec<Entry>) {
    let mut place = path.as_os_str().to_owned();
    place.push(".checkpoints");
    let checkpoints = Checkpoints { place: place.into(), signing: signing() };
    let opened = FileStore::open_signed(path, Some(checkpoints)).unwrap();
    (opened.store, opened.entries)
}

/// Reads all of `messages`, as the role that acts does, and does what follows; says how many were refused.
fn told(path: &Path, messages: &[Vec<u8>]) -> usize {
    let (mut store, entries) = open(path);
    let (mut actor, mut effects) = Actor::restore(config(), entries, NOW).unwrap();
    effects.extend(actor.begin(NOW));
    let mut refused = 0;
    for (at, message) in (0..).zip(messages) {
        let now = NOW + at;
        match read(message) {
            Ok(Told::Decided(Decided { decision, decided_at, positions })) => {
                let at = decided_at.unwrap_or(now);
                effects.extend(actor.handle(Input::Decided { decision, at, positions }, now));
            }
            Ok(Told::Command(command)) => effects.extend(actor.handle(Input::Command(command), now)),
            Ok(Told::Report(report)) => effects.extend(actor.handle(Input::Report(report), now)),
            Ok(Told::Mark(_)) => {}
            Err(_) => refused += 1,
        }
        while !effects.is_empty() {
            let mut more = Vec::new();
            for effect in effects.drain(..) {
                match effect {
                    Effect::Audit(entry) => store.append(&[entry], None).unwrap(),
                    Effect::Call(call) => {
                        let result =
                            Reply::Accepted { reference: None, detail: "HTTP 200".into(), done: true };
                        let finished =
                            CallFinished { action_id: call.action_id, attempt: call.attempt, result };
                        more.extend(actor.handle(Input::CallFinished(finished), now));
                    }
                    _ => {}
                }
            }
            effects = more;
        }
    }
    refused
}

/// That the log in `path` is one that its readers take.
fn good(path: &Path) -> Vec<Entry> {
    let (store, entries) = open(path);
    drop(store);
    Actor::restore(config(), entries.clone(), NOW).unwrap();
    let keys = Keys { log: vec![signing().key.verifier()], ..Keys::default() };
    let log = Log::open(&Source::File(path.to_owned()), true).unwrap();
    let report = verify(&log, &keys, &[], false).unwrap();
    assert!(report.is_good(), "{report}");
    entries
}

#[test]
fn of_every_action_that_was_done_evidence_intent_and_outcome_are_proven_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    assert_eq!(told(&path, &messages()), 0);
    let entries = good(&path);
    let keys = Keys { log: vec![signing().key.verifier()], ..Keys::default() };
    let log = Log::open(&Source::File(path), true).unwrap();
    let announced = entries.iter().flat_map(|entry| match &entry.body {
        Body::Decision { actions, .. } | Body::Escalated { actions, .. } => &actions[..],
        _ => &[],
    });
    let (mut all, mut done) = (0, 0);
    for planned in announced {
        let out = folder.path().join(&planned.action_id);
        let proven = prove(&log, &keys, &Subject::Action(planned.action_id.clone()), &out).unwrap();
        for proof in &proven.files {
            verify_proof(proof, &proof.with_extension("json"), &keys).unwrap();
        }
        let [seal, intent, outcome] = proven.order();
        assert!(seal.is_some(), "{planned:?} stands on no evidence");
        let places: Vec<u64> = [seal, intent, outcome].into_iter().flatten().collect();
        assert!(places.is_sorted_by(|before, after| before < after), "{planned:?}: {places:?}");
        all += 1;
        done += usize::from(places.len() == 3);
    }
    assert!(all >= 6 && done >= 3, "{done} of {all}");
}

/// Values that are odd for a time, a number or a text.
fn odd() -> impl Strategy<Value = Value> {
    let integers = [
        i64::MIN,
        i64::MIN + 1,
        -(1 << 53) - 1,
        -1,
        0,
        1 << 53,
        (1 << 53) + 1,
        (1 << 53) - 1,
        253_402_300_799_999,
        253_402_300_800_000,
        -62_167_219_200_001,
        i64::MAX,
    ];
    let texts = [
        "end",
        "none",
        "9999-12-31T23:59:59.999Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "292278994-08-17T07:12:55.806Z",
        "9223372036854775807-01-01T00:00:00Z",
        "",
        "\u{2028}\u{0}\u{7f}\u{ffff}",
    ];
    prop_oneof![
        prop::sample::select(integers.to_vec()).prop_map(Value::from),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(-0.0)),
        Just(json!(5e-324)),
        Just(json!(1.797_693_134_862_315_7e308)),
        Just(Value::Null),
    ]
}

/// All places in a message that hold no object and no list.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(values) => {
            values.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), out))
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(key, value)| places(value, &format!("{at}/{key}"), out));
        }
        _ => out.push(at.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_message_makes_the_log_unreadable_or_costs_its_neighbours(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), odd()), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.ndjson");
        let mut all = messages();
        for (which, place, odd) in changes {
            let message = &messages()[which.index(messages().len())];
            let mut value: Value = serde_json::from_slice(message).unwrap();
            let mut found = Vec::new();
            places(&value, "", &mut found);
            *value.pointer_mut(place.get::<String>(&found)).unwrap() = odd;
            // Beside the good one, so that a refused one costs nothing else.
            let beside = which.index(all.len());
            all.insert(beside, serde_json::to_vec(&value).unwrap());
        }
        let refused = told(&path, &all);
        prop_assert!(refused <= all.len() - messages().len());
        let entries = good(&path);
        let known = |id: &str| entries.iter().any(|entry| matches!(&entry.body, Body::Decision { decision, .. } if decision.id == id));
        prop_assert!(known("qualified-acts-v1--9000") && known("violated-asks-v3--5000"));
    }
}
