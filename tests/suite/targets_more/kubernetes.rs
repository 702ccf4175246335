//! Objects of Kubernetes: they are left for the version that the ledger names and for no other, and
//! whoever deploys in between is not overwritten.

use plimsoll::action::{ArgoRollouts, Credential, Kserve};
use plimsoll::safety::{ActionKind, Idempotency, Reply, Step, Suppression};
use serde_json::{Value, json};

use super::super::targets::{ask, call, clock};
use super::worlds::{KserveWorld, RolloutsWorld, run};
use super::{Setting, argo_rollouts_config, barred, kserve_config, poll, submit, taken, target};

const KIND: ActionKind = ActionKind::Rollback;

/// What stands against a rollback in `world`, and what a submission and a lookup then say.
fn kserve(world: KserveWorld) -> (Reply, Reply, Reply, usize) {
    let (stub, world) = run(world);
    let target = target("kserve", &Setting::at(&stub.url()));
    let of = |step| ask(&*target, &step, &call(KIND));
    let (preflight, submitted, found) = (of(Step::Preflight), of(Step::Submit), of(Step::Find));
    let patches = world.lock().unwrap().patches.len();
    (preflight, submitted, found, patches)
}

#[test]
fn a_canary_of_kserve_is_left_without_traffic() {
    let (stub, world) = run(KserveWorld::default());
    let target = target("kserve", &Setting::at(&stub.url()));
    assert_eq!(target.idempotency(), Idempotency::StateLike);
    assert_eq!(ask(&*target, &Step::Preflight, &call(KIND)), Reply::Clear);
    assert_eq!(ask(&*target, &Step::Find, &call(KIND)), Reply::Absent);
    let reply = submit(&*target, KIND);
    let reference = taken(&reply);
    assert_eq!(
        world.lock().unwrap().patches,
        [json!({"metadata": {"resourceVersion": "5"}, "spec": {"predictor": {"canaryTrafficPercent": 0}}})]
    );
    // Asked for is not there yet.
    assert!(matches!(poll(&*target, KIND, reference), Reply::Running { .. }));
    world.lock().unwrap().share = 100;
    assert!(matches!(poll(&*target, KIND, reference), Reply::Succeeded { .. }));
    // A second attempt finds it done, and writes nothing.
    taken(&submit(&*target, KIND));
    taken(&ask(&*target, &Step::Find, &call(KIND)));
    assert_eq!(world.lock().unwrap().patches.len(), 1);
    let reply = ask(&*target, &Step::Preflight, &call(KIND));
    assert_eq!(barred(&reply).0, Suppression::AlreadyActive);
    // Somebody gives it traffic again.
    world.lock().unwrap().canary = json!(50);
    assert!(matches!(poll(&*target, KIND, reference), Reply::Failed { .. }));
}

#[test]
fn a_version_that_had_all_traffic_is_left_for_the_one_before() {
    let full = || KserveWorld {
        rolled_out: "credit-2",
        previous: "credit-1",
        canary: Value::Null,
        share: 0,
        ..KserveWorld::default()
    };
    let (preflight, submitted, _, patches) = kserve(full());
    assert_eq!((preflight, patches), (Reply::Clear, 1));
    taken(&submitted);
    // KServe has not yet counted the one before as the one that is rolled out.
    let (stub, world) = run(KserveWorld { canary: json!(0), ..full() });
    let target = target("kserve", &Setting::at(&stub.url()));
    assert!(matches!(poll(&*target, KIND, "traffic"), Reply::Running { .. }));
    let mut now = world.lock().unwrap();
    (now.rolled_out, now.share) = ("credit-1", 100);
    drop(now);
    assert!(matches!(poll(&*target, KIND, "traffic"), Reply::Succeeded { .. }));
}

#[test]
fn kserve_is_not_asked_for_what_it_would_not_do() {
    let none = KserveWorld { rolled_out: "credit-2", previous: "", ..KserveWorld::default() };
    let other =
        KserveWorld { versions: vec![("credit-1", "v0"), ("credit-2", "v2")], ..KserveWorld::default() };
    let gone = KserveWorld { versions: vec![("credit-2", "v2")], ..KserveWorld::default() };
    let newer = KserveWorld { newest: "credit-3", ..KserveWorld::default() };
    let raw = KserveWorld { mode: "RawDeployment", ..KserveWorld::default() };
    for (world, expected) in [
        (none, Suppression::NoKnownGoodVersion),
        (other, Suppression::NoKnownGoodVersion),
        (gone, Suppression::NoKnownGoodVersion),
        (newer, Suppression::Stale),
        (raw, Suppression::TargetNotReady),
    ] {
        let (preflight, submitted, found, patches) = kserve(world);
        assert_eq!(barred(&preflight).0, expected);
        assert_eq!(submitted, preflight);
        assert!(matches!(found, Reply::Rejected { .. }), "{found:?}");
        assert_eq!(patches, 0);
    }
}

#[test]
fn who_deploys_in_between_is_not_overwritten() {
    let deploys: fn(&mut KserveWorld) = |world| world.newest = "credit-3";
    let (stub, world) = run(KserveWorld { meanwhile: Some(deploys), ..KserveWorld::default() });
    let target = target("kserve", &Setting::at(&stub.url()));
    let reply = submit(&*target, KIND);
    assert_eq!(barred(&reply).0, Suppression::Stale);
    assert_eq!(world.lock().unwrap().patches, Vec::<Value>::new());
    // One who changes something else only makes it be read again.
    let labels: fn(&mut KserveWorld) = |_| {};
    let (_, submitted, _, patches) =
        kserve(KserveWorld { meanwhile: Some(labels), ..KserveWorld::default() });
    taken(&submitted);
    assert_eq!(patches, 1);
}

/// The same of a rollout.
fn rollouts(world: RolloutsWorld, undo: bool) -> (Reply, Reply, Vec<Value>) {
    let (stub, world) = run(world);
    let config =
        plimsoll::action::argo_rollouts::Config { undo, ..argo_rollouts_config(&Setting::at(&stub.url())) };
    let target = ArgoRollouts::new(&config, KIND, clock()).unwrap();
    let preflight = ask(&target, &Step::Preflight, &call(KIND));
    let submitted = submit(&target, KIND);
    let patches = world.lock().unwrap().patches.clone();
    (preflight, submitted, patches)
}

#[test]
fn a_rollout_that_is_under_way_is_aborted() {
    for subresource in [true, false] {
        let (stub, world) = run(RolloutsWorld { subresource, ..RolloutsWorld::default() });
        let target = target("argo_rollouts", &Setting::at(&stub.url()));
        assert_eq!(ask(&*target, &Step::Preflight, &call(KIND)), Reply::Clear);
        assert_eq!(ask(&*target, &Step::Find, &call(KIND)), Reply::Absent);
        let reply = submit(&*target, KIND);
        let reference = taken(&reply);
        assert_eq!(
            world.lock().unwrap().patches,
            [json!({"metadata": {"resourceVersion": "5"}, "status": {"abort": true}})]
        );
        assert!(matches!(poll(&*target, KIND, reference), Reply::Running { .. }));
        world.lock().unwrap().weight = 0;
        assert!(matches!(poll(&*target, KIND, reference), Reply::Succeeded { .. }));
        taken(&submit(&*target, KIND));
        assert_eq!(world.lock().unwrap().patches.len(), 1);
        let reply = ask(&*target, &Step::Preflight, &call(KIND));
        assert_eq!(barred(&reply).0, Suppression::AlreadyActive);
        world.lock().unwrap().abort = false;
        let Reply::Failed { why } = poll(&*target, KIND, reference) else { panic!() };
        assert!(why.contains("taken the abort"), "{why}");
    }
}

#[test]
fn a_rollout_that_has_ended_is_undone_only_where_that_is_allowed() {
    let ended = || RolloutsWorld { stable: "b", phase: "Healthy", weight: 0, ..RolloutsWorld::default() };
    let (preflight, submitted, patches) = rollouts(ended(), false);
    assert_eq!(barred(&preflight).0, Suppression::TargetNotReady);
    assert_eq!((submitted, patches.len()), (preflight, 0));

    let (preflight, submitted, patches) = rollouts(ended(), true);
    assert_eq!(preflight, Reply::Clear);
    taken(&submitted);
    let template = json!({
        "metadata": {"labels": {"app": "credit", "model-version": "v1"}},
        "spec": {"containers": []},
    });
    assert_eq!(
        patches,
        [json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "5"},
            {"op": "replace", "path": "/spec/template", "value": template},
        ])]
    );
    let elsewhere = RolloutsWorld { workload_ref: true, ..ended() };
    assert_eq!(barred(&rollouts(elsewhere, true).0).0, Suppression::TargetNotReady);
    let gone = RolloutsWorld { versions: vec![("b", "v2")], ..ended() };
    assert_eq!(barred(&rollouts(gone, true).0).0, Suppression::NoKnownGoodVersion);
}

#[test]
fn an_undo_is_followed_until_the_good_version_is_stable() {
    let (stub, world) = run(RolloutsWorld { stable: "b", phase: "Healthy", ..RolloutsWorld::default() });
    let target = target("argo_rollouts", &Setting::at(&stub.url()));
    let reply = submit(&*target, KIND);
    let reference = taken(&reply);
    assert!(matches!(poll(&*target, KIND, reference), Reply::Running { .. }));
    // Asked again on its way, it is ours and needs no second patch.
    taken(&ask(&*target, &Step::Find, &call(KIND)));
    taken(&submit(&*target, KIND));
    assert_eq!(world.lock().unwrap().patches.len(), 1);
    world.lock().unwrap().phase = "Degraded";
    assert!(matches!(poll(&*target, KIND, reference), Reply::Failed { .. }));
    let mut now = world.lock().unwrap();
    (now.stable, now.phase) = ("a", "Healthy");
    drop(now);
    assert!(matches!(poll(&*target, KIND, reference), Reply::Succeeded { .. }));
    // Somebody goes on to v3.
    world.lock().unwrap().current = "c";
    world.lock().unwrap().stable = "c";
    assert!(matches!(poll(&*target, KIND, reference), Reply::Failed { .. }));
}

#[test]
fn a_rollout_is_not_asked_for_what_would_not_bring_the_good_version_back() {
    let other = RolloutsWorld { versions: vec![("a", "v0"), ("b", "v2")], ..RolloutsWorld::default() };
    let newer = RolloutsWorld { current: "c", ..RolloutsWorld::default() };
    let back = RolloutsWorld { current: "a", stable: "a", ..RolloutsWorld::default() };
    for (world, expected) in [
        (other, Suppression::NoKnownGoodVersion),
        (newer, Suppression::Stale),
        (back, Suppression::AlreadyActive),
    ] {
        let (preflight, _, patches) = rollouts(world, true);
        assert_eq!(barred(&preflight).0, expected);
        assert_eq!(patches.len(), 0);
    }
    let deploys: fn(&mut RolloutsWorld) = |world| world.current = "c";
    for stable in ["a", "b"] {
        let world = RolloutsWorld { stable, meanwhile: Some(deploys), ..RolloutsWorld::default() };
        let (_, submitted, patches) = rollouts(world, true);
        assert_eq!(barred(&submitted).0, Suppression::Stale);
        assert_eq!(patches.len(), 0);
    }
}

#[test]
fn only_rollbacks_are_asked_of_what_serves() {
    let at = Setting::at("http://127.0.0.1:9");
    for kind in [ActionKind::Retrain, ActionKind::Notify] {
        let wrong = Kserve::new(&kserve_config(&at), kind, clock()).unwrap_err().to_string();
        assert_eq!(wrong, format!("a share of traffic cannot be asked to {kind}"));
        assert!(ArgoRollouts::new(&argo_rollouts_config(&at), kind, clock()).is_err());
    }
}

#[test]
fn a_token_that_rotates_is_sent_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let (stub, _) = run(KserveWorld::default());
    let config = plimsoll::action::kserve::Config {
        token: Credential::File(token.clone()),
        ..kserve_config(&Setting::at(&stub.url()))
    };
    let kserve = Kserve::new(&config, KIND, clock()).unwrap();
    let reply = submit(&kserve, KIND);
    assert!(matches!(reply, Reply::Retry { doubt: false, .. }), "{reply:?}");
    for text in ["first\n", "second\n"] {
        std::fs::write(&token, text).unwrap();
        ask(&kserve, &Step::Find, &call(KIND));
        assert_eq!(stub.seen().pop().unwrap().headers["authorization"], format!("Bearer {}", text.trim()));
    }
}
