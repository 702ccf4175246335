//! Runs of Airflow: one for an action however often it is asked for, followed to its end, and not
//! started where Airflow would take it and never run it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use plimsoll::action::Target;
use plimsoll::action::airflow::{self, Airflow, Config, Login, default_conf};
use plimsoll::action::http::Token;
use plimsoll::safety::{ActionKind, Idempotency, Reply, Step, Suppression};
use serde_json::{Value, json};

use super::stub::{self, Seen, Stub};
use super::{ID, ask, call, clock, place};

/// As much of Airflow as the adapter asks for, answering as 3.3 was seen to.
pub(crate) struct Server {
    /// Runs and their states.
    pub(crate) runs: BTreeMap<String, String>,
    /// Bodies of the requests that started them.
    pub(crate) bodies: Vec<Value>,
    /// The token that is good now, and how many were given.
    pub(crate) token: String,
    /// How many times somebody logged in.
    pub(crate) logins: usize,
    /// What health and the DAG say.
    pub(crate) scheduler: &'static str,
    /// The DAG.
    pub(crate) dag: Value,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            runs: BTreeMap::new(),
            bodies: vec![],
            token: "token-0-abcdefgh".into(),
            logins: 0,
            scheduler: "healthy",
            dag: json!({"dag_id": "retrain_credit", "is_paused": false, "has_import_errors": false, "is_stale": false}),
        }
    }
}

fn detail(status: u16, words: &str) -> stub::Reply {
    stub::Reply::json(status, &json!({"detail": words}))
}

impl Server {
    /// One in which the run exists.
    pub(crate) fn running() -> Self {
        Self { runs: BTreeMap::from([(ID.to_owned(), "running".to_owned())]), ..Self::default() }
    }

    /// Answers one request.
    pub(crate) fn answer(&mut self, seen: &Seen) -> stub::Reply {
        let path: Vec<&str> = seen.path.split('/').skip(1).collect();
        if path == ["auth", "token"] {
            if seen.json() != json!({"username": "plimsoll", "password": "hunter2!"}) {
                return detail(401, "Invalid credentials");
            }
            self.logins += 1;
            self.token = format!("token-{}-abcdefgh", self.logins);
            return stub::Reply::json(201, &json!({"access_token": self.token}));
        }
        if seen.headers.get("authorization") != Some(&format!("Bearer {}", self.token)) {
            return detail(403, "Invalid JWT token");
        }
        let run = |id: &str, state: &str| json!({"dag_run_id": id, "state": state, "conf": {}});
        match (seen.method.as_str(), path.as_slice()) {
            ("GET", ["api", "v2", "monitor", "health"]) => stub::Reply::json(
                200,
                &json!({
                    "metadatabase": {"status": "healthy"},
                    "scheduler": {"status": self.scheduler},
                    "triggerer": {"status": null},
                    "dag_processor": {"status": "healthy"},
                }),
            ),
            ("GET", ["api", "v2", "dags", "retrain_credit"]) => stub::Reply::json(200, &self.dag),
            ("POST", ["api", "v2", "dags", "retrain_credit", "dagRuns"]) => {
                let body = seen.json();
                assert_eq!(body.get("logical_date"), Some(&Value::Null), "null has to be said");
                let id = body["dag_run_id"].as_str().unwrap().to_owned();
                if self.runs.contains_key(&id) {
                    return detail(409, "Unique constraint violation");
                }
                self.runs.insert(id.clone(), "queued".into());
                self.bodies.push(body);
                stub::Reply::json(200, &run(&id, "queued"))
            }
            ("GET", ["api", "v2", "dags", "retrain_credit", "dagRuns", id]) => match self.runs.get(*id) {
                Some(state) => stub::Reply::json(200, &run(id, state)),
                None => detail(404, "The DagRun was not found"),
            },
            ("PATCH", ["api", "v2", "dags", "retrain_credit", "dagRuns", id]) => {
                assert_eq!(seen.json(), json!({"state": "failed"}));
                match self.runs.get_mut(*id) {
                    Some(state) => {
                        *state = "failed".into();
                        stub::Reply::json(200, &run(id, "failed"))
                    }
                    None => detail(404, "The DagRun was not found"),
                }
            }
            _ => detail(404, "Not Found"),
        }
    }
}

/// The DAG `retrain_credit` at `url`.
pub(crate) fn config(url: &str) -> Config {
    Config {
        place: place(url),
        login: Login::Password { username: "plimsoll".into(), password: Token::new("hunter2!") },
        dag: "retrain_{model}".into(),
        conf: default_conf(ActionKind::Retrain),
    }
}

fn world(server: Server) -> (Stub, Arc<Mutex<Server>>, Airflow) {
    let server = Arc::new(Mutex::new(server));
    let shared = Arc::clone(&server);
    let stub = Stub::serve(move |seen| shared.lock().unwrap().answer(seen));
    let target = Airflow::new(&config(&stub.url()), ActionKind::Retrain, clock()).unwrap();
    (stub, server, target)
}

fn retrain(target: &Airflow, step: &Step) -> Reply {
    ask(target, step, &call(ActionKind::Retrain))
}

fn poll() -> Step {
    Step::Poll { reference: ID.into() }
}

fn cancel() -> Step {
    Step::Cancel { reference: ID.into() }
}

fn queued(detail: &str) -> Reply {
    Reply::Accepted { reference: Some(ID.into()), detail: detail.into(), done: false }
}

#[test]
fn a_run_is_started_under_the_actions_id_and_followed_to_its_end() {
    let (_stub, server, target) = world(Server::default());
    assert_eq!(target.idempotency(), Idempotency::Keyed);
    assert_eq!(retrain(&target, &Step::Preflight), Reply::Clear);
    assert_eq!(retrain(&target, &Step::Find), Reply::Absent);
    assert_eq!(retrain(&target, &Step::Submit), queued("the run is queued"));
    assert_eq!(retrain(&target, &Step::Find), queued("the run is queued"));
    let set = |state: &str| server.lock().unwrap().runs.insert(ID.into(), state.into());
    for state in ["queued", "running"] {
        set(state);
        assert_eq!(retrain(&target, &poll()), Reply::Running { detail: state.into() });
    }
    set("success");
    assert_eq!(retrain(&target, &poll()), Reply::Succeeded { detail: "success".into() });
    assert!(matches!(retrain(&target, &cancel()), Reply::Rejected { .. }), "a record is left as it is");
    set("failed");
    assert!(matches!(retrain(&target, &poll()), Reply::Failed { .. }));
    set("resting");
    assert!(matches!(retrain(&target, &poll()), Reply::Retry { doubt: false, .. }));
    server.lock().unwrap().runs.clear();
    let gone = retrain(&target, &poll());
    assert!(matches!(&gone, Reply::Failed { why } if why.contains("gone")), "{gone:?}");
    let state = server.lock().unwrap();
    assert_eq!(state.logins, 1, "the token is kept");
    let conf =
        json!({"action_id": ID, "model": "credit", "version": "v2", "policy": "fair", "decision": "d1"});
    assert_eq!(state.bodies[0]["conf"], conf);
    assert_eq!(state.bodies[0]["note"], "retrain credit because of v2");
}

#[test]
fn a_second_request_is_a_conflict_that_counts_once_the_run_was_read() {
    let (stub, server, target) = world(Server::running());
    assert_eq!(retrain(&target, &Step::Submit), queued("the run is running"));
    assert_eq!(server.lock().unwrap().bodies.len(), 0);
    let methods: Vec<String> = stub.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["POST", "POST", "GET"], "login, run, look");

    // A conflict with something else is none with us.
    let stub = Stub::serve(|seen| match seen.method.as_str() {
        "GET" => detail(404, "The DagRun was not found"),
        _ if seen.path == "/auth/token" => stub::Reply::json(201, &json!({"access_token": "t"})),
        _ => detail(409, "Unique constraint violation"),
    });
    let target = Airflow::new(&config(&stub.url()), ActionKind::Retrain, clock()).unwrap();
    let reply = retrain(&target, &Step::Submit);
    assert!(matches!(&reply, Reply::Rejected { why } if why.contains("no such run")), "{reply:?}");
}

#[test]
fn nothing_is_started_where_airflow_would_take_it_and_never_run_it() {
    let barred = |server: Server, words: &str| {
        let (_stub, _, target) = world(server);
        let reply = retrain(&target, &Step::Preflight);
        let Reply::Barred { reason: Suppression::TargetNotReady, why } = reply else { panic!("{reply:?}") };
        assert!(why.contains(words), "{why}");
    };
    barred(Server { scheduler: "unhealthy", ..Server::default() }, "scheduler is unhealthy");
    for (member, words) in
        [("is_paused", "paused"), ("has_import_errors", "import errors"), ("is_stale", "stale")]
    {
        let mut server = Server::default();
        server.dag[member] = true.into();
        barred(server, words);
    }
    let mut server = Server::default();
    server.dag.as_object_mut().unwrap().remove("is_paused");
    let (_stub, _, target) = world(server);
    let silent = retrain(&target, &Step::Preflight);
    assert!(
        matches!(silent, Reply::Retry { doubt: false, .. }),
        "what is not said is not assumed: {silent:?}"
    );
    let stub = Stub::serve(|seen| match seen.path.as_str() {
        "/auth/token" => stub::Reply::json(201, &json!({"access_token": "t"})),
        "/api/v2/monitor/health" => Server::default().answer(&Seen {
            headers: BTreeMap::from([("authorization".to_owned(), "Bearer token-0-abcdefgh".to_owned())]),
            ..seen.clone()
        }),
        _ => detail(404, "The Dag was not found"),
    });
    let target = Airflow::new(&config(&stub.url()), ActionKind::Retrain, clock()).unwrap();
    assert!(matches!(retrain(&target, &Step::Preflight), Reply::Rejected { .. }));
}

#[test]
fn a_token_that_is_refused_is_renewed_once_and_no_more() {
    let (_stub, server, target) = world(Server::default());
    assert_eq!(retrain(&target, &Step::Find), Reply::Absent);
    server.lock().unwrap().token = "another-0123".into();
    assert_eq!(retrain(&target, &Step::Submit), queued("the run is queued"));
    let state = server.lock().unwrap();
    assert_eq!((state.logins, state.bodies.len()), (2, 1));
    drop(state);

    // Without the right, a new token helps nothing.
    let logins = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&logins);
    let stub = Stub::serve(move |seen| {
        if seen.path == "/auth/token" {
            let mut count = counted.lock().unwrap();
            *count += 1;
            return stub::Reply::json(201, &json!({"access_token": format!("given-{count}")}));
        }
        detail(403, "Forbidden")
    });
    let target = Airflow::new(&config(&stub.url()), ActionKind::Retrain, clock()).unwrap();
    let reply = retrain(&target, &Step::Submit);
    assert!(matches!(&reply, Reply::Rejected { why } if why.contains("HTTP 403: ")), "{reply:?}");
    assert_eq!(*logins.lock().unwrap(), 2);
    assert_eq!(stub.seen().len(), 4);
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    let stub = Stub::serve(|_| detail(401, "Invalid credentials"));
    let target = Airflow::new(&config(&stub.url()), ActionKind::Retrain, clock()).unwrap();
    let reply = retrain(&target, &Step::Submit);
    assert!(matches!(&reply, Reply::Rejected { why } if why.starts_with("login: HTTP 401")), "{reply:?}");
}

#[test]
fn a_run_is_stopped_by_setting_it_to_failed() {
    let (_stub, server, target) = world(Server::running());
    assert!(matches!(retrain(&target, &cancel()), Reply::Succeeded { .. }));
    assert_eq!(server.lock().unwrap().runs[ID], "failed");
    assert!(matches!(retrain(&target, &cancel()), Reply::Succeeded { .. }), "it is stopped already");
    server.lock().unwrap().runs.clear();
    assert!(matches!(retrain(&target, &cancel()), Reply::Rejected { .. }));
}

#[test]
fn a_404_of_somebody_else_does_not_say_that_there_is_no_run() {
    let stub = Stub::serve(|seen| match seen.path.as_str() {
        "/auth/token" => stub::Reply::json(201, &json!({"access_token": "t"})),
        _ => stub::Reply::body(404, "<html>no such site</html>"),
    });
    let target = Airflow::new(&config(&stub.url()), ActionKind::Retrain, clock()).unwrap();
    for step in [Step::Find, poll()] {
        let reply = retrain(&target, &step);
        assert!(matches!(reply, Reply::Retry { .. }), "{reply:?}");
    }
}

#[test]
fn what_can_never_work_is_refused_when_the_target_is_made() {
    let bad = |change: fn(&mut Config)| {
        let mut config = config("http://127.0.0.1:9");
        change(&mut config);
        Airflow::new(&config, ActionKind::Retrain, clock()).unwrap_err()
    };
    assert!(matches!(bad(|it| it.dag = "{to_version}".into()), airflow::Error::Dag(_)));
    assert!(matches!(bad(|it| it.conf = json!({"a": ["{nope}"]})), airflow::Error::Conf(_)));
    assert!(matches!(bad(|it| it.conf = json!([])), airflow::Error::NotAnObject));
}
