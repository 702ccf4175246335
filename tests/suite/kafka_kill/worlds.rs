//! The servers that are asked to do something, each as far as its adapter needs it, with a count of what
//! they did. They are stateful: what was done once is there when the daemon comes again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Where actions go; the first segment of the path, and the name of the action and of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Site {
    /// A receiver of webhooks that remembers ids: keyed, and cannot be asked.
    Webhook,
    /// An alias of MLflow's registry: state-like.
    Mlflow,
    /// Runs of an Airflow DAG: keyed, with a preflight, and followed.
    Airflow,
    /// Runs of a GitHub workflow: unkeyed, and can be asked.
    Github,
}

/// How long a dispatch takes to be listed as a run.
const LISTED_AFTER: Duration = Duration::from_millis(1_500);

impl Site {
    pub(super) const ALL: [Self; 4] = [Self::Webhook, Self::Mlflow, Self::Airflow, Self::Github];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mlflow => "mlflow",
            Self::Airflow => "airflow",
            Self::Github => "github",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|site| site.name() == name)
    }

    /// The request that does the thing.
    pub(super) const fn effect(self) -> &'static str {
        match self {
            Self::Webhook => "POST webhook",
            Self::Mlflow => "POST alias",
            Self::Airflow => "POST dagRuns",
            Self::Github => "POST dispatches",
        }
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) site: Site,
    pub(super) method: String,
    /// The path after the site.
    pub(super) path: Vec<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
}

impl Request {
    /// What is asked, without what differs from story to story.
    pub(super) fn what(&self) -> String {
        let last = self.path.iter().rev().find(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
        let last = match last.map_or(self.site.name(), String::as_str) {
            word if word.starts_with("retrain-") => "run",
            word => word,
        };
        format!("{} {last}", self.method)
    }
}

/// All servers.
#[derive(Debug)]
pub(super) struct Worlds {
    /// How often each id of a webhook was seen.
    pub(super) hooks: BTreeMap<String, usize>,
    /// The version that the alias is on.
    pub(super) alias: u32,
    /// Writes by the daemon that moved the alias.
    pub(super) moves: usize,
    /// Writes by the daemon over what somebody else had written.
    pub(super) overwritten: usize,
    /// How often the daemon has tagged the bad version.
    pub(super) tags: usize,
    /// Looks at each run of the DAG.
    pub(super) dag_runs: BTreeMap<String, usize>,
    /// Runs of the workflow: the action's id, and since when.
    pub(super) workflow_runs: Vec<(String, Instant)>,
    /// Dispatches that arrived, whether or not they were taken.
    pub(super) dispatches: usize,
    /// What was asked in a way that the servers do not know.
    pub(super) unknown: Vec<String>,
}

impl Default for Worlds {
    fn default() -> Self {
        Self {
            hooks: BTreeMap::new(),
            alias: 2,
            moves: 0,
            overwritten: 0,
            tags: 0,
            dag_runs: BTreeMap::new(),
            workflow_runs: Vec::new(),
            dispatches: 0,
            unknown: Vec::new(),
        }
    }
}

impl Worlds {
    /// Takes a request, and says status and body of the reply.
    pub(super) fn take(&mut self, request: &Request) -> (u16, Value) {
        match request.site {
            Site::Webhook => self.webhook(request),
            Site::Mlflow => self.mlflow(request),
            Site::Airflow => self.airflow(request),
            Site::Github => self.github(request),
        }
    }

    fn unknown(&mut self, request: &Request) -> (u16, Value) {
        self.unknown.push(format!("{request:?}"));
        (404, json!({"detail": "no such thing", "error_code": "ENDPOINT_NOT_FOUND"}))
    }

    fn webhook(&mut self, request: &Request) -> (u16, Value) {
        let Some(id) = request.headers.get("webhook-id") else { return self.unknown(request) };
        *self.hooks.entry(id.clone()).or_default() += 1;
        (204, Value::Null)
    }

    fn mlflow(&mut self, request: &Request) -> (u16, Value) {
        let call = request.path.iter().rev().take(2).rev().map(String::as_str).collect::<Vec<_>>();
        let version = |number: &str| json!({"model_version": {"version": number, "status": "READY"}});
        match (request.method.as_str(), call.as_slice()) {
            ("GET", ["registered-models", "alias"]) => (200, version(&self.alias.to_string())),
            ("GET", ["model-versions", "get"]) => (200, version("1")),
            ("POST", ["registered-models", "alias"]) => {
                let to: u32 = request.body["version"].as_str().unwrap().parse().unwrap();
                match self.alias {
                    from if from == to => {}
                    2 => self.moves += 1,
                    _ => self.overwritten += 1,
                }
                self.alias = to;
                (200, json!({}))
            }
            ("POST", ["model-versions", "set-tag"]) => {
                self.tags += 1;
                (200, json!({}))
            }
            _ => self.unknown(request),
        }
    }

    fn airflow(&mut self, request: &Request) -> (u16, Value) {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let run = |id: &str, state: &str| json!({"dag_run_id": id, "state": state, "conf": {}});
        match (request.method.as_str(), path.as_slice()) {
            ("POST", ["auth", "token"]) => (201, json!({"access_token": "a-token-of-airflow"})),
            ("GET", ["api", "v2", "monitor", "health"]) => {
                let healthy = json!({"status": "healthy"});
                (200, json!({"metadatabase": healthy, "scheduler": healthy, "dag_processor": healthy}))
            }
            ("GET", ["api", "v2", "dags", _]) => {
                (200, json!({"is_paused": false, "has_import_errors": false, "is_stale": false}))
            }
            ("POST", ["api", "v2", "dags", _, "dagRuns"]) => {
                let id = request.body["dag_run_id"].as_str().unwrap().to_owned();
                if self.dag_runs.contains_key(&id) {
                    return (409, json!({"detail": "Unique constraint violation"}));
                }
                let reply = run(&id, "queued");
                self.dag_runs.insert(id, 0);
                (200, reply)
            }
            ("GET", ["api", "v2", "dags", _, "dagRuns", id]) => match self.dag_runs.get_mut(*id) {
                Some(looks) => {
                    *looks += 1;
                    (200, run(id, if *looks > 1 { "success" } else { "running" }))
                }
                None => (404, json!({"detail": "The DagRun was not found"})),
            },
            _ => self.unknown(request),
        }
    }

    fn github(&mut self, request: &Request) -> (u16, Value) {
        let path: Vec<&str> = request.path.iter().skip(4).map(String::as_str).collect();
        let run = |number: usize, id: &str| {
            json!({
                "id": number + 1, "name": "act", "display_title": format!("plimsoll {id}"),
                "event": "workflow_dispatch", "status": "completed", "conclusion": "success",
            })
        };
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["workflows", "act.yml"]) => (200, json!({"id": 7, "state": "active"})),
            ("POST", ["workflows", "act.yml", "dispatches"]) => {
                let id = request.body["inputs"]["action_id"].as_str().unwrap().to_owned();
                self.workflow_runs.push((id, Instant::now()));
                (200, json!({"workflow_run_id": self.workflow_runs.len()}))
            }
            ("GET", ["workflows", "act.yml", "runs"]) => {
                let runs = self.workflow_runs.iter().enumerate();
                let listed = runs.filter(|(_, (_, since))| since.elapsed() >= LISTED_AFTER);
                let listed: Vec<Value> = listed.map(|(number, (id, _))| run(number, id)).collect();
                (200, json!({"total_count": listed.len(), "workflow_runs": listed}))
            }
            ("GET", ["runs", number]) => {
                let number = number.parse::<usize>().unwrap() - 1;
                match self.workflow_runs.get(number) {
                    Some((id, _)) => (200, run(number, id)),
                    None => (404, json!({"message": "Not Found"})),
                }
            }
            _ => self.unknown(request),
        }
    }
}
