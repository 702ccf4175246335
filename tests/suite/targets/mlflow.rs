//! The alias of MLflow's registry: moved from the bad version to the good one and never past somebody
//! else, as far as reading before and after can tell.

use std::sync::{Arc, Mutex};

use plimsoll::action::http::{Auth, Token};
use plimsoll::action::mlflow::{Config, Mlflow, TAG};
use plimsoll::action::{Target, mlflow};
use plimsoll::safety::{ActionKind, Idempotency, Reply, Step, Suppression};
use serde_json::{Value, json};

use super::stub::{self, Seen, Stub};
use super::{ID, ask, call, call_with, clock, place};

/// As much of a registry as the adapter asks for, answering as MLflow 3.17 was seen to.
pub(crate) struct Registry {
    /// What the alias is on.
    pub(crate) alias: Option<u64>,
    /// Versions and their status.
    pub(crate) versions: Vec<(u64, &'static str)>,
    /// Tags that were set: version, key, value.
    pub(crate) tags: Vec<(String, String, String)>,
    /// What somebody else sets the alias to right after we did.
    pub(crate) meddler: Option<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { alias: Some(2), versions: vec![(1, "READY"), (2, "READY")], tags: vec![], meddler: None }
    }
}

fn error(status: u16, code: &str, message: &str) -> stub::Reply {
    stub::Reply::json(status, &json!({"error_code": code, "message": message}))
}

impl Registry {
    /// Answers one request.
    pub(crate) fn answer(&mut self, seen: &Seen) -> stub::Reply {
        let url = reqwest::Url::parse(&format!("http://x{}", seen.path)).unwrap();
        let query = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
        };
        let call = url.path().strip_prefix("/api/2.0/mlflow/").unwrap();
        match (seen.method.as_str(), call) {
            ("GET", "registered-models/alias") => {
                assert_eq!((query("name"), query("alias")), ("credit".into(), "champion".into()));
                match self.alias {
                    Some(version) => stub::Reply::json(
                        200,
                        &json!({"model_version": {"name": "credit", "version": version.to_string()}}),
                    ),
                    None => {
                        error(400, "INVALID_PARAMETER_VALUE", "Registered model alias champion not found.")
                    }
                }
            }
            ("GET", "model-versions/get") => {
                match self.versions.iter().find(|(version, _)| version.to_string() == query("version")) {
                    Some((version, status)) => stub::Reply::json(
                        200,
                        &json!({"model_version": {"version": version.to_string(), "status": status}}),
                    ),
                    None => error(404, "RESOURCE_DOES_NOT_EXIST", "Model Version (name=credit) not found"),
                }
            }
            ("POST", "registered-models/alias") => {
                let body = seen.json();
                assert_eq!((&body["name"], &body["alias"]), (&json!("credit"), &json!("champion")));
                let version: u64 = body["version"].as_str().unwrap().parse().unwrap();
                if !self.versions.iter().any(|(known, _)| *known == version) {
                    return error(404, "RESOURCE_DOES_NOT_EXIST", "Model Version not found");
                }
                self.alias = self.meddler.or(Some(version));
                stub::Reply::json(200, &json!({}))
            }
            ("POST", "model-versions/set-tag") => {
                let body = seen.json();
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                self.tags.push((text("version"), text("key"), text("value")));
                stub::Reply::json(200, &json!({}))
            }
            (method, call) => panic!("MLflow was asked {method} {call}"),
        }
    }
}

/// The alias `champion` at `url`.
pub(crate) fn config(url: &str) -> Config {
    Config {
        place: place(url),
        auth: Auth::Basic { username: "plimsoll".into(), password: Token::new("hunter2!") },
        model: "{model}".into(),
        alias: "champion".into(),
        version_prefix: "v".into(),
    }
}

fn world(registry: Registry) -> (Stub, Arc<Mutex<Registry>>, Mlflow) {
    let registry = Arc::new(Mutex::new(registry));
    let shared = Arc::clone(&registry);
    let stub = Stub::serve(move |seen| shared.lock().unwrap().answer(seen));
    let target = Mlflow::new(&config(&stub.url()), clock()).unwrap();
    (stub, registry, target)
}

fn rollback(target: &Mlflow, step: &Step) -> Reply {
    ask(target, step, &call(ActionKind::Rollback))
}

#[test]
fn an_alias_goes_from_the_bad_version_to_the_good_one_and_the_bad_one_is_tagged() {
    let (stub, registry, target) = world(Registry::default());
    assert_eq!(target.idempotency(), Idempotency::StateLike);
    assert_eq!(rollback(&target, &Step::Preflight), Reply::Clear);
    assert_eq!(rollback(&target, &Step::Find), Reply::Absent);
    assert_eq!(registry.lock().unwrap().alias, Some(2), "looking changes nothing");
    let Reply::Accepted { reference: None, detail, done: true } = rollback(&target, &Step::Submit) else {
        panic!("it is done")
    };
    assert_eq!(detail, "the alias `champion` went from version 2 to 1 of `credit`");
    let state = registry.lock().unwrap();
    assert_eq!(state.alias, Some(1));
    assert_eq!(state.tags, [("2".to_owned(), TAG.to_owned(), ID.to_owned())]);
    drop(state);
    for seen in stub.seen() {
        assert_eq!(seen.headers["authorization"], "Basic cGxpbXNvbGw6aHVudGVyMiE=");
    }
    // And whoever asks again hears that it is so.
    assert!(matches!(rollback(&target, &Step::Find), Reply::Accepted { done: true, .. }));
    assert!(matches!(rollback(&target, &Step::Submit), Reply::Accepted { done: true, .. }));
    let again = rollback(&target, &Step::Preflight);
    assert!(matches!(again, Reply::Barred { reason: Suppression::AlreadyActive, .. }), "{again:?}");
}

#[test]
fn a_version_that_somebody_promoted_is_never_overwritten() {
    let (_stub, registry, target) = world(Registry { alias: Some(3), ..Registry::default() });
    for step in [Step::Preflight, Step::Submit] {
        let reply = rollback(&target, &step);
        let Reply::Barred { reason: Suppression::Stale, why } = reply else { panic!("{reply:?}") };
        assert_eq!(why, "the alias `champion` is on version 3 of `credit`, and not on 2");
    }
    assert!(matches!(rollback(&target, &Step::Find), Reply::Rejected { .. }));
    assert_eq!(registry.lock().unwrap().alias, Some(3));
}

#[test]
fn whoever_moves_the_alias_right_after_us_is_noticed() {
    let (_stub, _, target) = world(Registry { meddler: Some(3), ..Registry::default() });
    let reply = rollback(&target, &Step::Submit);
    let Reply::Rejected { why } = &reply else { panic!("{reply:?}") };
    assert!(why.starts_with("someone else moved it: ") && why.contains("version 3"), "{why}");
}

#[test]
fn an_alias_that_does_not_exist_is_stale_with_what_mlflow_says() {
    let (_stub, registry, target) = world(Registry { alias: None, ..Registry::default() });
    for step in [Step::Preflight, Step::Submit] {
        let reply = rollback(&target, &step);
        let Reply::Barred { reason: Suppression::Stale, why } = reply else { panic!("{reply:?}") };
        assert!(why.contains("no such alias") && why.contains("alias champion not found"), "{why}");
    }
    assert_eq!(registry.lock().unwrap().alias, None);
}

#[test]
fn a_good_version_that_is_gone_or_not_ready_is_none() {
    for versions in [vec![(2, "READY")], vec![(1, "FAILED_REGISTRATION"), (2, "READY")]] {
        let (_stub, _, target) = world(Registry { versions, ..Registry::default() });
        let reply = rollback(&target, &Step::Preflight);
        assert!(matches!(reply, Reply::Barred { reason: Suppression::NoKnownGoodVersion, .. }), "{reply:?}");
    }
    let (_stub, _, target) = world(Registry { versions: vec![(2, "READY")], ..Registry::default() });
    assert!(matches!(rollback(&target, &Step::Submit), Reply::Rejected { .. }));
}

#[test]
fn a_version_that_is_no_number_of_mlflow_is_refused_without_a_request() {
    let (stub, _, target) = world(Registry::default());
    for version in ["2", "v", "v02", "v2a", "v-2", "v99999999999", "V2"] {
        for step in [Step::Preflight, Step::Submit, Step::Find] {
            let call = call_with(ActionKind::Rollback, json!({"version": version}));
            let reply = ask(&target, &step, &call);
            assert!(matches!(reply, Reply::Rejected { .. }), "{version}: {reply:?}");
        }
    }
    let retrain = ask(&target, &Step::Submit, &call(ActionKind::Retrain));
    assert!(matches!(retrain, Reply::Rejected { .. }), "{retrain:?}");
    assert_eq!(stub.seen().len(), 0);
}

#[test]
fn a_registry_that_sends_something_else_as_a_version_is_not_believed() {
    for version in [json!("2; drop"), json!(null), json!(["2"]), json!(-2), json!("")] {
        let body: Value = json!({"model_version": {"version": version}});
        let stub = Stub::serve(move |_| stub::Reply::json(200, &body));
        let target = Mlflow::new(&config(&stub.url()), clock()).unwrap();
        let reply = rollback(&target, &Step::Submit);
        assert!(matches!(reply, Reply::Retry { doubt: false, .. }), "{reply:?}");
        assert_eq!(stub.seen().len(), 1, "nothing was written");
    }
}

#[test]
fn what_can_never_work_is_refused_when_the_target_is_made() {
    let bad = |change: fn(&mut Config)| {
        let mut config = config("http://127.0.0.1:9");
        change(&mut config);
        Mlflow::new(&config, clock()).unwrap_err()
    };
    assert!(matches!(bad(|it| it.alias = "latest".into()), mlflow::Error::Alias { .. }));
    assert!(matches!(bad(|it| it.alias = "v1".into()), mlflow::Error::Alias { .. }));
    assert!(matches!(bad(|it| it.model = "{modle}".into()), mlflow::Error::Model(_)));
    assert!(matches!(bad(|it| it.place.url = "http://mlflow.example".into()), mlflow::Error::Http(_)));
}
