//! What deployment tools are told when they ask whether a rollout may go on: `pass` needs proof,
//! everything unsure holds, and the two kinds of Flagger's hooks are opposite.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::sync::Arc;

use plimsoll::api::Anonymous;
use plimsoll::domain::{Decide, Finding, Segment, Verdict};
use plimsoll::engine::view::{PolicyState, VersionView, View};
use serde_json::{Value, json};

use super::metrics;
use super::people::world::{Answer, NOW, Server, World};

const HOUR: i64 = 3_600_000;
const HOOKS: [&str; 3] = ["confirm-rollout", "confirm-traffic-increase", "confirm-promotion"];

/// A view in which every check of the policy has passed.
fn healthy(view: &mut View) {
    let latest = metrics::view().latest;
    let psi = Finding { verdict: Some(Verdict::Pass), sequential: None, ..(*latest[0]).clone() };
    let ratio =
        Finding { verdict: Some(Verdict::Pass), sequential: None, reason: None, ..(*latest[2]).clone() };
    view.latest = vec![Arc::new(psi), Arc::new(ratio)];
    let policy = &mut view.models[0].policies[0];
    (policy.state, policy.since, policy.decide) = (PolicyState::Ok, None, Decide::Window);
}

/// The same of a version that a policy has left.
fn condemned(view: &mut View) {
    healthy(view);
    view.safety.versions = vec![VersionView {
        tenant: None,
        model: "credit".into(),
        version: "2".into(),
        standing: "condemned",
        first_seen: None,
        last_seen: None,
        qualified: Vec::new(),
        reason: Some("it was violated".into()),
        last_known_good: false,
    }];
}

fn change(view: &mut View, number: usize, change: impl FnOnce(&mut Finding)) {
    change(Arc::make_mut(&mut view.latest[number]));
}

fn violated(view: &mut View) {
    healthy(view);
    change(view, 0, |finding| finding.verdict = Some(Verdict::Breach));
    let policy = &mut view.models[0].policies[0];
    (policy.state, policy.since) = (PolicyState::Violated, Some(view.latest[0].window.end));
}

fn world(paint: impl FnOnce(&mut View)) -> World {
    let mut world = World::new();
    // Which versions are condemned is known here.
    world.owns();
    world.show(paint);
    world
}

async fn argo(server: &Server, query: &str) -> (String, String) {
    let answer = server.get(&format!("/gate/v1/argo-rollouts?{query}"), None).await;
    assert_eq!(answer.status, 200, "Argo takes everything else for an error: {}", answer.body);
    let json = answer.json();
    (json["result"].as_str().unwrap().to_owned(), json["reason"].as_str().unwrap().to_owned())
}

fn hook(version: &str, checksum: &str) -> Value {
    json!({
        "name": "credit", "namespace": "ml", "phase": "Progressing", "checksum": checksum,
        "metadata": {"model": "credit", "version": version, "policy": "fair-lending", "anything": "else"},
    })
}

/// What a hook is told that comes with a viewer's token.
async fn flagger(world: &World, server: &Server, name: &str, body: &Value) -> Answer {
    server.post(&format!("/gate/v1/flagger/{name}"), Some(&world.viewer), &body.to_string()).await
}

const ASKED: &str = "model=credit&version=2&policy=fair-lending";

/// What all gates say: the word for Argo, and the statuses of confirming and of rolling back.
async fn said(world: &World) -> (String, u16, u16) {
    let server = world.serve().await;
    let (word, reason) = argo(&server, ASKED).await;
    assert!(!reason.is_empty());
    let mut confirm = Vec::new();
    for name in HOOKS {
        confirm.push(flagger(world, &server, name, &hook("2", "c1")).await.status);
    }
    assert!(confirm.iter().all(|status| *status == confirm[0]), "{confirm:?}");
    (word, confirm[0], flagger(world, &server, "rollback", &hook("2", "c1")).await.status)
}

#[tokio::test]
async fn a_rollout_goes_on_only_where_every_check_has_passed_and_back_only_where_an_incident_is_open() {
    assert_eq!(said(&world(healthy)).await, ("pass".into(), 200, 403));
    assert_eq!(said(&world(violated)).await, ("breach".into(), 403, 200));
}

#[tokio::test]
async fn whatever_is_not_conclusive_neither_goes_on_nor_back() {
    type Paint = fn(&mut View);
    let paints: [(&str, Paint); 12] = [
        ("too little data", |view| {
            healthy(view);
            change(view, 1, |finding| finding.verdict = Some(Verdict::Insufficient));
        }),
        ("a breach that is no incident", |view| {
            healthy(view);
            view.models[0].policies[0].state = PolicyState::Warn;
        }),
        ("a breach that the policy has not judged yet", |view| {
            healthy(view);
            change(view, 0, |finding| finding.verdict = Some(Verdict::Breach));
        }),
        ("nothing judged", |view| {
            healthy(view);
            view.models[0].policies[0].state = PolicyState::Unknown;
        }),
        ("a check without a window", |view| {
            healthy(view);
            view.latest.pop();
        }),
        ("a silent detector", |view| {
            healthy(view);
            let calm = metrics::view().latest[0].sequential.clone();
            change(view, 0, |finding| finding.sequential = calm);
            view.models[0].policies[0].decide = Decide::Sequential;
        }),
        ("a policy that decides sequentially over window verdicts", |view| {
            healthy(view);
            view.models[0].policies[0].decide = Decide::Sequential;
        }),
        ("an old window", |view| {
            healthy(view);
            change(view, 0, |finding| {
                let older = std::time::Duration::from_millis(2 * HOUR as u64);
                finding.window.start = finding.window.start - older;
                finding.window.end = finding.window.end - older;
            });
        }),
        ("an old incident", |view| {
            violated(view);
            for number in 0..2 {
                change(view, number, |finding| {
                    let older = std::time::Duration::from_millis(2 * HOUR as u64);
                    finding.window.start = finding.window.start - older;
                    finding.window.end = finding.window.end - older;
                });
            }
        }),
        ("an old picture", |view| {
            healthy(view);
            view.taken_at = NOW - 61_000;
        }),
        ("an old picture of an incident", |view| {
            violated(view);
            view.taken_at = NOW - 61_000;
        }),
        ("a condemned version", condemned),
    ];
    for (name, paint) in paints {
        assert_eq!(said(&world(paint)).await, ("inconclusive".into(), 403, 403), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_known_here_is_not_found_by_flagger_and_inconclusive_to_argo() {
    for (name, paint) in [
        ("nothing yet", (|view: &mut View| *view = View::default()) as fn(&mut View)),
        ("another model", |view| view.models[0].key.model = "other".into()),
        ("another version", |view| view.models[0].key.version = "3".into()),
        ("another policy", |view| view.models[0].policies[0].policy = "other".into()),
        ("a segment alone", |view| {
            view.models[0].key.segment = Segment::Of { name: "channel".into(), value: "web".into() };
        }),
    ] {
        assert_eq!(said(&world(paint)).await, ("inconclusive".into(), 404, 404), "{name}");
    }
}

#[tokio::test]
async fn a_question_that_is_not_understood_holds() {
    let world = world(violated);
    let server = world.serve().await;
    let long = "x".repeat(513);
    for query in [
        "",
        "model=credit",
        "modle=credit&version=2&policy=fair-lending",
        &format!("{ASKED}&x=1"),
        &format!("{ASKED}&part=all"),
        &format!("{ASKED}&tenant={long}"),
        &format!("model=credit&version={long}&policy=fair-lending"),
    ] {
        assert_eq!(argo(&server, query).await.0, "inconclusive", "{query}");
    }
    let without = |key: &str| {
        let mut body = hook("2", "c1");
        body["metadata"].as_object_mut().unwrap().remove(key);
        body
    };
    let with = |key: &str, value: &str| {
        let mut body = hook("2", "c1");
        body["metadata"][key] = value.into();
        body
    };
    let mut nameless = hook("2", "c1");
    nameless["namespace"] = long.as_str().into();
    let bodies = [
        nameless,
        with("tenant", &long),
        with("model", &long),
        with("version", &long),
        with("policy", &long),
        with("part", "all"),
        hook("2", &long),
        json!("nothing"),
        json!({}),
        without("model"),
        without("version"),
        without("policy"),
        hook("2", ""),
        json!({"name": "credit", "namespace": "ml", "checksum": "c1"}),
    ];
    for name in HOOKS.into_iter().chain(["rollback"]) {
        for body in &bodies {
            let answer = flagger(&world, &server, name, body).await;
            assert_eq!((answer.status, answer.code().as_str()), (422, "bad_hook"), "{name} {body}");
        }
        assert_eq!(server.get(&format!("/gate/v1/flagger/{name}"), None).await.status, 405);
    }
    for other in ["rollout", "pre-rollout", "event", ""] {
        assert_eq!(flagger(&world, &server, other, &hook("2", "c1")).await.status, 404, "{other}");
    }
}

#[tokio::test]
async fn evidence_about_an_earlier_deployment_of_the_same_name_decides_nothing() {
    for (paint, name, before) in
        [(healthy as fn(&mut View), "confirm-promotion", 200), (violated, "rollback", 200)]
    {
        let world = world(paint);
        let server = world.serve().await;
        assert_eq!(flagger(&world, &server, name, &hook("2", "c1")).await.status, before);
        let anew = flagger(&world, &server, name, &hook("2", "c2")).await;
        assert_eq!(anew.status, 403, "{name}: deployed again under the same version: {}", anew.body);
        assert_eq!(anew.json()["checksum"], "c2");
        // A window that began after the new deployment was first heard of.
        world.show(|view| {
            for number in 0..view.latest.len() {
                change(view, number, |finding| {
                    let later = std::time::Duration::from_millis(HOUR as u64 + 2_000);
                    finding.window.start = finding.window.start + later;
                    finding.window.end = finding.window.end + later;
                });
            }
        });
        assert_eq!(flagger(&world, &server, name, &hook("2", "c2")).await.status, 200, "{name}");
    }
    let world = world(healthy);
    let server = world.serve().await;
    for checksum in ["c1", "c2"] {
        let answer = flagger(&world, &server, "confirm-rollout", &hook("2", checksum)).await;
        assert_eq!(answer.status, 200, "what serves is judged by all of its windows");
    }
}

#[tokio::test]
async fn a_segment_that_breaches_counts_and_one_that_is_too_small_does_not() {
    let segment = Segment::Of { name: "channel".into(), value: "web".into() };
    let painted = |state: PolicyState, verdict: Verdict| {
        let world = world(healthy);
        world.show(|view| {
            let mut part = view.models[0].clone();
            part.key.segment = segment.clone();
            part.policies[0].state = state;
            view.models.push(part);
            let mut finding = (*view.latest[0]).clone();
            (finding.segment, finding.verdict) = (segment.clone(), Some(verdict));
            view.latest.push(Arc::new(finding));
        });
        world
    };
    assert_eq!(said(&painted(PolicyState::Unknown, Verdict::Insufficient)).await.0, "pass");
    assert_eq!(said(&painted(PolicyState::Warn, Verdict::Breach)).await.0, "inconclusive");
    assert_eq!(said(&painted(PolicyState::Violated, Verdict::Breach)).await, ("breach".into(), 403, 200));
}

#[tokio::test]
async fn of_several_owners_each_has_to_pass_unless_one_is_asked_about() {
    let world = world(healthy);
    world.show(|view| {
        let mut other = view.models[0].clone();
        other.key.tenant = Some("bank".into());
        other.policies[0].state = PolicyState::Unknown;
        view.models.push(other);
    });
    let server = world.serve().await;
    assert_eq!(argo(&server, ASKED).await.0, "inconclusive");
    assert_eq!(argo(&server, &format!("{ASKED}&tenant=")).await.0, "pass");
    assert_eq!(argo(&server, &format!("{ASKED}&tenant=bank")).await.0, "inconclusive");
}

#[tokio::test]
async fn a_gate_that_is_closed_to_strangers_takes_a_viewers_token_in_both_forms() {
    let mut world = world(violated);
    world.anonymous(Anonymous::Metrics);
    let server = world.serve().await;
    for name in HOOKS.into_iter().chain(["rollback"]) {
        let path = format!("/gate/v1/flagger/{name}");
        assert_eq!(server.post(&path, None, &hook("2", "c1").to_string()).await.status, 401, "{name}");
    }
    let path = "/gate/v1/flagger/rollback";
    let body = hook("2", "c1").to_string();
    assert_eq!(server.post(path, Some(&world.viewer), &body).await.status, 200);
    assert_eq!(
        server.send("POST", path, &world.viewer.basic(), &body).await.status,
        200,
        "in the address of a hook"
    );
    let gate = format!("/gate/v1/argo-rollouts?{ASKED}");
    assert_eq!(server.get(&gate, None).await.status, 401);
    assert_eq!(server.get(&gate, Some(&world.viewer)).await.status, 200);
}

#[tokio::test]
async fn nobody_without_a_token_says_which_deployment_there_is() {
    for anonymous in [Anonymous::Read, Anonymous::Metrics] {
        let mut world = world(healthy);
        world.anonymous(anonymous);
        let server = world.serve().await;
        let promotion = "confirm-promotion";
        assert_eq!(flagger(&world, &server, promotion, &hook("2", "c1")).await.status, 200);
        // A stranger, and a page in the browser of somebody who has looked at this one.
        for name in ["confirm-traffic-increase", promotion, "rollback"] {
            let (path, body) = (format!("/gate/v1/flagger/{name}"), hook("2", "c2").to_string());
            let answer = server.post(&path, None, &body).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{name}");
            let page = format!("{}Origin: https://evil.example\r\n", world.viewer.basic());
            let answer = server.send("POST", &path, &page, &body).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "from_a_page"), "{name}");
        }
        let answer = flagger(&world, &server, promotion, &hook("2", "c1")).await;
        assert_eq!(answer.status, 200, "nothing was remembered of them: {}", answer.body);
        // This one remembers nothing, so it is open where everybody may read.
        let open = if anonymous == Anonymous::Read { 200 } else { 401 };
        let path = "/gate/v1/flagger/confirm-rollout";
        assert_eq!(server.post(path, None, &hook("2", "c9").to_string()).await.status, open);
    }
    let mut world = world(healthy);
    world.access.tokens.clear();
    let server = world.serve().await;
    let answer = server.post("/gate/v1/flagger/rollback", None, &hook("2", "c1").to_string()).await;
    assert!(answer.status == 401 && answer.body.contains("none is configured"), "{}", answer.body);
}

/// An evaluator that does not own the actions does not know whom policies and people have condemned.
#[tokio::test]
async fn an_instance_that_does_not_know_who_is_condemned_lets_nothing_pass() {
    let stands_by = |paint: fn(&mut View)| {
        let mut world = World::new();
        world.stands_by();
        world.show(paint);
        world
    };
    let never_acts = || {
        let world = World::new();
        world.show(healthy);
        world
    };
    for (name, world) in [("stands by", stands_by(healthy)), ("never acts", never_acts())] {
        assert_eq!(said(&world).await, ("inconclusive".into(), 403, 403), "{name}");
        let (_, reason) = argo(&world.serve().await, ASKED).await;
        assert!(reason.contains("the instance that owns the actions"), "{reason}");
    }
    // A breach needs nobody's word.
    assert_eq!(said(&stands_by(violated)).await, ("breach".into(), 403, 200));

    // Each half can be asked for where it is known.
    let part = |part: &str| {
        let mut body = hook("2", "c1");
        body["metadata"]["part"] = part.into();
        body
    };
    let nothing: fn(&mut View) = |view| view.models.clear();
    for (world, asked, word, status) in [
        (stands_by(healthy), "traffic", "pass", 200),
        (stands_by(healthy), "standing", "inconclusive", 404),
        (world(nothing), "traffic", "inconclusive", 404),
        (world(nothing), "standing", "pass", 200),
        (world(condemned), "traffic", "pass", 200),
        (world(condemned), "standing", "inconclusive", 403),
        (world(|view| view.taken_at = NOW - 61_000), "standing", "inconclusive", 403),
    ] {
        let server = world.serve().await;
        let (said, reason) = argo(&server, &format!("{ASKED}&part={asked}")).await;
        assert_eq!(said, word, "{asked}: {reason}");
        let answer = flagger(&world, &server, "confirm-promotion", &part(asked)).await;
        assert_eq!(answer.status, status, "{asked}: {}", answer.body);
    }
}

/// The templates for both tools, as documents.
fn template(file: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gates").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let parsed = ::config::File::from_str(&text, ::config::FileFormat::Yaml);
    ::config::Config::builder().add_source(parsed).build().unwrap().try_deserialize().unwrap()
}

#[test]
fn the_templates_ask_paths_that_exist_and_read_both_words() {
    let analysis = template("argo-rollouts.yaml");
    let metric = &analysis["spec"]["metrics"][0];
    let condition = |key: &str| {
        let found = metric.as_object().unwrap().iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.unwrap().1.as_str().unwrap().to_owned()
    };
    assert_eq!(condition("successCondition"), "result == \"pass\"");
    assert_eq!(condition("failureCondition"), "result == \"breach\"");
    let url = metric["provider"]["web"]["url"].as_str().unwrap();
    assert!(url.contains("/gate/v1/argo-rollouts?model={{args.model}}&version="), "{url}");
    let canary = template("flagger.yaml");
    for hook in canary["spec"]["analysis"]["webhooks"].as_array().unwrap() {
        let (kind, url) = (hook["type"].as_str().unwrap(), hook["url"].as_str().unwrap());
        assert!(url.ends_with(&format!("/gate/v1/flagger/{kind}")), "{kind} asks {url}");
        for key in ["model", "version", "policy"] {
            assert!(hook["metadata"][key].is_string(), "{kind} has no {key}");
        }
    }
}
