//! Every fault at every request of every question to every target. Whatever happens, the answer is one
//! that the rules know, agrees with what was done, and says no secret.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::safety::{ActionKind, Reply, Step};
use proptest::prelude::*;
use serde_json::json;

use super::super::targets::stub::{self, Stub};
use super::super::targets::{answers, ask, call};
use super::worlds::world;
use super::{NAMES, SECRETS, Setting, kind, questions, target};

/// What goes wrong.
#[derive(Clone, Debug)]
enum Fault {
    /// This is said.
    Says(stub::Reply),
    /// A page with this status repeats the request.
    Echoes(u16),
}

/// The faults, and of each whether the request may have been carried out before it.
fn faults() -> Vec<(Fault, bool)> {
    let says = |reply, late| (Fault::Says(reply), late);
    let status = |status| stub::Reply::body(status, "<html>no</html>");
    let mut faults = vec![
        says(stub::Reply::Lost, true),
        says(stub::Reply::Slow, true),
        says(stub::Reply::Cut, true),
        says(stub::Reply::Garbage, true),
        says(status(429).with("retry-after", "7"), false),
        says(status(503).with("retry-after", "7"), true),
        says(status(307).with("location", "/elsewhere"), false),
        (Fault::Echoes(200), true),
        (Fault::Echoes(500), true),
        says(stub::Reply::json(200, &json!({})), true),
    ];
    faults.extend([408, 500, 502, 599].map(|code| says(status(code), true)));
    faults.extend([400, 401, 403, 404, 409, 410, 422, 425].map(|code| says(status(code), false)));
    faults.extend([400, 403, 404, 409, 422].map(|code| (Fault::Echoes(code), false)));
    faults
}

/// What came of a question with a fault in it.
struct Outcome {
    reply: Reply,
    /// Whether the action is done.
    done: bool,
    /// Whether a request was made that could do it.
    tried: bool,
    requests: usize,
}

/// Asks `step` of the target `name`, with `fault` at its request number `at`; `late` if the request is
/// carried out before.
fn suffer(name: &str, step: &Step, at: usize, fault: &Fault, late: bool) -> Outcome {
    let begun = !matches!(step, Step::Submit | Step::Preflight);
    let world = Arc::new(Mutex::new(world(name, begun)));
    let shared = Arc::clone(&world);
    let (said, mut count) = (fault.clone(), 0);
    let stub = Stub::serve(move |seen| {
        count += 1;
        if count - 1 != at {
            return shared.lock().unwrap().answer(seen);
        }
        if late {
            shared.lock().unwrap().answer(seen);
        }
        match &said {
            Fault::Says(reply) => reply.clone(),
            Fault::Echoes(status) => stub::Reply::body(*status, seen.echo()),
        }
    });
    let patience = if matches!(fault, Fault::Says(stub::Reply::Slow)) { 400 } else { 5_000 };
    let at = Setting { timeout: Duration::from_millis(patience), ..Setting::at(&stub.url()) };
    let reply = ask(&*target(name, &at), step, &call(kind(name)));
    let (seen, done) = (stub.seen(), world.lock().unwrap().done());
    Outcome { reply, done, tried: seen.iter().any(|seen| seen.method != "GET"), requests: seen.len() }
}

fn check(name: &str) {
    for step in questions(name, &*target(name, &Setting::at("http://127.0.0.1:9"))) {
        let mut cases = 0;
        for at in 0.. {
            let mut reached = false;
            for (fault, may_be_late) in faults() {
                for late in [true, false] {
                    if late && !may_be_late || !late && matches!(fault, Fault::Says(stub::Reply::Slow)) {
                        continue;
                    }
                    let Outcome { reply, done, tried, requests } = suffer(name, &step, at, &fault, late);
                    if requests <= at {
                        continue;
                    }
                    let case = format!("{name} {} at {at}, late {late}: {fault:?}: {reply:?}", step.name());
                    (reached, cases) = (true, cases + 1);
                    assert!(answers(&step, &reply), "{case}");
                    let shown = format!("{reply:?}");
                    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{case}");
                    if step != Step::Submit {
                        assert!(!matches!(reply, Reply::Retry { doubt: true, .. }) || tried, "{case}");
                        // What is there is never said to be absent.
                        assert!(reply != Reply::Absent || fault_is_an_answer(&fault), "{case}");
                        continue;
                    }
                    match reply {
                        // A 2xx is all that those who tell people say, true or not.
                        Reply::Accepted { .. } => assert!(done || kind(name) == ActionKind::Notify, "{case}"),
                        Reply::Retry { doubt: true, .. } => assert!(tried, "{case}"),
                        _ => assert!(!done, "{case}"),
                    }
                }
            }
            if !reached {
                assert!(at > 0 && cases > 0, "{name} {} asks nothing", step.name());
                break;
            }
        }
    }
}

/// Whether what was said in place of the answer is one: that there is no such thing.
fn fault_is_an_answer(fault: &Fault) -> bool {
    match fault {
        Fault::Says(stub::Reply::Http { status, .. }) | Fault::Echoes(status) => matches!(status, 404 | 200),
        Fault::Says(_) => false,
    }
}

#[test]
fn whatever_fails_at_github_the_answer_agrees_with_what_was_done() {
    check("github");
}

#[test]
fn whatever_fails_at_gitlab_the_answer_agrees_with_what_was_done() {
    check("gitlab");
}

#[test]
fn whatever_fails_at_jenkins_the_answer_agrees_with_what_was_done() {
    check("jenkins");
}

#[test]
fn whatever_fails_at_argo_workflows_the_answer_agrees_with_what_was_done() {
    check("argo_workflows");
}

#[test]
fn whatever_fails_at_kserve_the_answer_agrees_with_what_was_done() {
    check("kserve");
}

#[test]
fn whatever_fails_at_argo_rollouts_the_answer_agrees_with_what_was_done() {
    check("argo_rollouts");
}

#[test]
fn whatever_fails_at_pagerduty_the_answer_agrees_with_what_was_done() {
    check("pagerduty");
}

#[test]
fn whatever_fails_at_slack_the_answer_agrees_with_what_was_done() {
    check("slack");
}

/// Which request of a submission does it.
fn deed(name: &str) -> usize {
    match name {
        "kserve" | "argo_rollouts" => 3,
        _ => 0,
    }
}

#[test]
fn each_row_of_the_table_of_faults_has_its_answer_at_every_target() {
    for name in NAMES {
        let of = |fault: stub::Reply, late| {
            suffer(name, &Step::Submit, deed(name), &Fault::Says(fault), late).reply
        };
        for lost in [
            stub::Reply::Lost,
            stub::Reply::Slow,
            stub::Reply::Garbage,
            stub::Reply::status(500),
            stub::Reply::status(408),
        ] {
            for late in [true, false] {
                let reply = of(lost.clone(), late);
                assert!(matches!(reply, Reply::Retry { doubt: true, .. }), "{name} {lost:?}: {reply:?}");
            }
        }
        let seven = Some(Duration::from_secs(7));
        let busy = of(stub::Reply::status(429).with("retry-after", "7"), false);
        assert!(
            matches!(busy, Reply::Retry { doubt: false, retry_after, .. } if retry_after == seven),
            "{name}: {busy:?}"
        );
        let away = of(stub::Reply::status(503).with("retry-after", "7"), true);
        assert!(
            matches!(away, Reply::Retry { doubt: true, retry_after, .. } if retry_after == seven),
            "{name}: {away:?}"
        );
        for code in [301, 307, 400, 401, 403, 415] {
            let reply = of(stub::Reply::status(code).with("location", "/x"), false);
            let Reply::Rejected { why } = &reply else { panic!("{name} {code}: {reply:?}") };
            assert!(why.contains(&code.to_string()), "{name}: {why}");
        }
    }
}

#[test]
fn nobody_there_leaves_no_doubt() {
    for name in NAMES {
        let target = target(name, &Setting::at(&stub::nobody()));
        for step in questions(name, &*target) {
            let reply = ask(&*target, &step, &call(kind(name)));
            assert!(
                matches!(reply, Reply::Retry { doubt: false, retry_after: None, .. }),
                "{name} {}: {reply:?}",
                step.name()
            );
        }
    }
}

#[test]
fn a_certificate_is_trusted_where_its_authority_is_named_and_nothing_is_sent_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let ca_file = folder.path().join(name);
        let mut world = world(name, false);
        let stub = Stub::tls(&ca_file, move |seen| world.answer(seen));
        let stranger = target(name, &Setting::at(&stub.url()));
        for step in questions(name, &*stranger) {
            let reply = ask(&*stranger, &step, &call(kind(name)));
            let Reply::Retry { why, doubt: false, .. } = &reply else { panic!("{name}: {reply:?}") };
            assert!(why.contains("certificate"), "{name}: {why}");
        }
        assert_eq!(stub.seen().len(), 0, "{name}");
        let friend = target(name, &Setting { ca_file: Some(ca_file), ..Setting::at(&stub.url()) });
        let reply = ask(&*friend, &Step::Submit, &call(kind(name)));
        assert!(matches!(reply, Reply::Accepted { .. }), "{name}: {reply:?}");
    }
}

#[test]
fn names_and_settings_show_no_secret_and_another_place_has_another_name() {
    let mut names = Vec::new();
    for name in NAMES {
        let at = Setting::at("http://127.0.0.1:9");
        let target_here = target(name, &at);
        let shown = format!("{} {target_here:?}", target_here.name());
        assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
        names.push(target_here.name().to_owned());
        names.push(target(name, &Setting::at("http://127.0.0.1:10")).name().to_owned());
    }
    let at = Setting::at("http://127.0.0.1:9");
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        super::github_config(&at),
        super::gitlab_config(&at),
        super::jenkins_config(&at),
        super::argo_workflows_config(&at),
        super::kserve_config(&at),
        super::argo_rollouts_config(&at),
        super::pagerduty_config(&at),
        super::slack_config(&at)
    );
    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
}

/// JSON with members that the targets look for, and values that they do not expect.
fn bodies() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(0)),
        Just(json!(101)),
        Just(json!("")),
        Just(json!("success")),
        Just(json!("v2")),
        Just(json!("credit-1")),
        Just(json!("completed")),
        Just(json!("Knative")),
    ];
    let names = prop::sample::select(vec![
        "id",
        "status",
        "conclusion",
        "state",
        "workflow_run_id",
        "workflow_runs",
        "total_count",
        "display_title",
        "name",
        "metadata",
        "labels",
        "resourceVersion",
        "spec",
        "predictor",
        "components",
        "deploymentMode",
        "latestReadyRevision",
        "latestCreatedRevision",
        "latestRolledoutRevision",
        "traffic",
        "phase",
        "stableRS",
        "currentPodHash",
        "abort",
        "items",
        "actions",
        "parameters",
        "builds",
        "executable",
        "number",
        "result",
        "building",
        "buildable",
        "property",
        "template",
        "model-version",
    ]);
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is said, the answer is one to the question, and nothing panics.
    #[test]
    fn whatever_a_target_says_is_answered(
        name in prop::sample::select(NAMES.to_vec()),
        status in prop::sample::select(vec![200_u16, 201, 202, 204, 302, 404, 409, 422, 500]),
        body in bodies(),
    ) {
        for step in questions(name, &*target(name, &Setting::at("http://127.0.0.1:9"))) {
            let said = body.clone();
            let stub = Stub::serve(move |_| stub::Reply::json(status, &said));
            let reply = ask(&*target(name, &Setting::at(&stub.url())), &step, &call(kind(name)));
            prop_assert!(answers(&step, &reply), "{name} {}: {reply:?}", step.name());
        }
    }
}
