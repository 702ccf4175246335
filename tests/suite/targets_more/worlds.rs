//! Servers that are not broken: each has the few things that an adapter asks of it, and remembers what
//! was done.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::targets::ID;
use super::super::targets::stub::{Reply, Seen, Stub};
use super::jenkins_world::JenkinsWorld;

/// A server, and what an action has changed there.
pub(super) trait World: Send {
    fn answer(&mut self, seen: &Seen) -> Reply;

    /// Whether the action has been done.
    fn done(&self) -> bool;
}

/// A stub that is `world`, and the world itself.
pub(super) fn run<W: World + 'static>(world: W) -> (Stub, Arc<Mutex<W>>) {
    let world = Arc::new(Mutex::new(world));
    let shared = Arc::clone(&world);
    (Stub::serve(move |seen| shared.lock().unwrap().answer(seen)), world)
}

/// The world of the target `name`; `begun` where the action was begun there.
pub(super) fn world(name: &str, begun: bool) -> Box<dyn World> {
    match name {
        "github" => Box::new(if begun { GithubWorld::begun() } else { GithubWorld::default() }),
        "gitlab" => Box::new(if begun { GitlabWorld::begun() } else { GitlabWorld::default() }),
        "jenkins" => Box::new(if begun { JenkinsWorld::begun() } else { JenkinsWorld::default() }),
        "argo_workflows" => Box::new(if begun { ArgoWorld::begun() } else { ArgoWorld::default() }),
        "kserve" => Box::new(if begun { KserveWorld::begun() } else { KserveWorld::default() }),
        "argo_rollouts" => Box::new(if begun { RolloutsWorld::begun() } else { RolloutsWorld::default() }),
        _ => Box::new(Sink::default()),
    }
}

pub(super) fn path(seen: &Seen) -> &str {
    seen.path.split('?').next().unwrap()
}

pub(super) fn not_found() -> Reply {
    Reply::json(404, &json!({"message": "Not Found"}))
}

/// What was sent as a form, by name.
pub(super) fn form(seen: &Seen) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&seen.body))).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Takes whatever is posted.
#[derive(Default)]
pub(super) struct Sink {
    pub(super) taken: Vec<Value>,
}

impl World for Sink {
    fn answer(&mut self, seen: &Seen) -> Reply {
        self.taken.push(seen.json());
        Reply::json(202, &json!({"status": "success", "message": "Event processed"}))
    }

    fn done(&self) -> bool {
        !self.taken.is_empty()
    }
}

/// A repository with one workflow.
pub(super) struct GithubWorld {
    pub(super) runs: Vec<Value>,
    pub(super) state: &'static str,
    /// Whether it says which run it has started.
    pub(super) details: bool,
}

impl Default for GithubWorld {
    fn default() -> Self {
        Self { runs: vec![], state: "active", details: true }
    }
}

impl GithubWorld {
    pub(super) fn begun() -> Self {
        let mut world = Self::default();
        world.start(ID);
        world
    }

    /// Begins a run whose name holds `id`.
    pub(super) fn start(&mut self, id: &str) {
        let number = 101 + self.runs.len();
        self.runs.push(json!({
            "id": number, "name": "act", "display_title": format!("plimsoll {id}"),
            "event": "workflow_dispatch", "status": "queued", "conclusion": null,
            "created_at": "2026-11-22T10:00:01Z", "workflow_id": 7,
            "html_url": format!("https://github.example/example/models/actions/runs/{number}"),
        }));
    }

    pub(super) fn ended(&mut self, conclusion: &str) {
        let run = self.runs.last_mut().unwrap();
        run["status"] = "completed".into();
        run["conclusion"] = conclusion.into();
    }
}

impl World for GithubWorld {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let Some(rest) = path(seen).strip_prefix("/repos/example/models/actions/") else {
            return not_found();
        };
        match (seen.method.as_str(), rest.split('/').collect::<Vec<_>>()[..].as_ref()) {
            ("GET", ["workflows", "act.yml"]) => Reply::json(
                200,
                &json!({"id": 7, "name": "act", "path": ".github/workflows/act.yml", "state": self.state}),
            ),
            ("POST", ["workflows", "act.yml", "dispatches"]) => {
                self.start(seen.json()["inputs"]["action_id"].as_str().unwrap());
                if !self.details {
                    return Reply::status(204);
                }
                let run = self.runs.last().unwrap();
                Reply::json(
                    200,
                    &json!({
                        "workflow_run_id": run["id"], "html_url": run["html_url"],
                        "run_url": "https://api.github.example/repos/example/models/actions/runs/101",
                    }),
                )
            }
            ("GET", ["workflows", "act.yml", "runs"]) => {
                let query = reqwest::Url::parse(&format!("http://x{}", seen.path)).unwrap();
                let number = |name: &str| {
                    let found = query.query_pairs().find(|(key, _)| key == name);
                    found.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap()
                };
                let (page, size) = (number("page"), number("per_page"));
                let newest: Vec<&Value> = self.runs.iter().rev().skip((page - 1) * size).take(size).collect();
                Reply::json(200, &json!({"total_count": self.runs.len(), "workflow_runs": newest}))
            }
            ("GET", ["runs", number]) => {
                let found = self.runs.iter().find(|run| run["id"].as_u64() == number.parse().ok());
                found.map_or_else(not_found, |run| Reply::json(200, run))
            }
            ("POST", ["runs", _, "cancel"]) => Reply::json(202, &json!({})),
            _ => not_found(),
        }
    }

    fn done(&self) -> bool {
        !self.runs.is_empty()
    }
}

/// A project of GitLab.
#[derive(Default)]
pub(super) struct GitlabWorld {
    pub(super) pipelines: Vec<Value>,
    pub(super) forms: Vec<Vec<(String, String)>>,
}

impl GitlabWorld {
    pub(super) fn begun() -> Self {
        let mut world = Self::default();
        world.start(&json!(format!("plimsoll {ID}")));
        world
    }

    pub(super) fn start(&mut self, name: &Value) {
        let id = 201 + self.pipelines.len();
        self.pipelines.push(json!({
            "id": id, "iid": 1, "project_id": 1, "status": "created", "source": "trigger", "ref": "main",
            "name": name, "web_url": "https://gitlab.example/p", "created_at": "2026-11-22T10:00:01.000Z",
        }));
    }
}

impl World for GitlabWorld {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let Some(rest) = path(seen).strip_prefix("/api/v4/projects/example%2Fmodels/") else {
            return not_found();
        };
        let allowed = seen.headers.get("private-token").is_some_and(|token| token == "hunter2-gitlab");
        match (seen.method.as_str(), rest.split('/').collect::<Vec<_>>()[..].as_ref()) {
            ("POST", ["trigger", "pipeline"]) => {
                let form = form(seen);
                let id = form.iter().find(|(name, _)| name == "variables[PLIMSOLL_ACTION_ID]").unwrap();
                self.start(&json!(format!("plimsoll {}", id.1)));
                self.forms.push(form);
                // Only lists, and a pipeline by its number, tell the name.
                let mut begun = self.pipelines.last().unwrap().clone();
                begun.as_object_mut().unwrap().remove("name");
                Reply::json(201, &begun)
            }
            _ if !allowed => Reply::json(401, &json!({"message": "401 Unauthorized"})),
            ("GET", ["pipelines"]) => {
                let newest: Vec<&Value> = self.pipelines.iter().rev().take(100).collect();
                Reply::json(200, &json!(newest))
            }
            ("GET", ["pipelines", id]) => {
                let found = self.pipelines.iter().find(|pipeline| pipeline["id"].as_u64() == id.parse().ok());
                found.map_or_else(not_found, |pipeline| Reply::json(200, pipeline))
            }
            ("POST", ["pipelines", _, "cancel"]) => Reply::json(200, &json!({"status": "canceled"})),
            _ => not_found(),
        }
    }

    fn done(&self) -> bool {
        !self.pipelines.is_empty()
    }
}

/// An Argo server.
#[derive(Default)]
pub(super) struct ArgoWorld {
    pub(super) workflows: Vec<Value>,
    pub(super) suspended: bool,
}

impl ArgoWorld {
    pub(super) fn begun() -> Self {
        let workflow = json!({"metadata": {"name": ID, "labels": {"plimsoll-action": ID}}, "status": {"phase": "Running"}});
        Self { workflows: vec![workflow], suspended: false }
    }
}

impl World for ArgoWorld {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let parts: Vec<&str> = path(seen).trim_start_matches("/api/v1/").split('/').collect();
        match (seen.method.as_str(), parts.as_slice()) {
            ("GET", ["workflow-templates", "models", "retrain"]) => {
                let spec = if self.suspended { json!({"suspend": true}) } else { json!({}) };
                Reply::json(200, &json!({"spec": spec}))
            }
            ("POST", ["workflows", "models", "submit"]) => {
                let options = seen.json()["submitOptions"].clone();
                if self.workflows.iter().any(|workflow| workflow["metadata"]["name"] == options["name"]) {
                    return Reply::json(409, &json!({"code": 6, "message": "already exists"}));
                }
                let (label, value) = options["labels"].as_str().unwrap().split_once('=').unwrap();
                let metadata = json!({"name": options["name"], "labels": {label: value}});
                self.workflows.push(json!({"metadata": metadata, "status": {}}));
                Reply::json(200, self.workflows.last().unwrap())
            }
            ("GET", ["workflows", "models", name]) => {
                let found = self.workflows.iter().find(|workflow| workflow["metadata"]["name"] == *name);
                found.map_or_else(not_found, |workflow| Reply::json(200, workflow))
            }
            ("PUT", ["workflows", "models", _, "stop"]) => Reply::json(200, &self.workflows[0]),
            _ => not_found(),
        }
    }

    fn done(&self) -> bool {
        !self.workflows.is_empty()
    }
}

/// An inference service with two revisions: `credit-1` serves v1, and `credit-2`, the newest, v2.
pub(super) struct KserveWorld {
    pub(super) mode: &'static str,
    pub(super) canary: Value,
    /// The revision that has had all traffic, and the one before.
    pub(super) rolled_out: &'static str,
    pub(super) previous: &'static str,
    pub(super) newest: &'static str,
    /// Share of the traffic of `credit-1`.
    pub(super) share: i64,
    pub(super) versions: Vec<(&'static str, &'static str)>,
    pub(super) version: u64,
    /// What somebody else does just before the next patch.
    pub(super) meanwhile: Option<fn(&mut Self)>,
    pub(super) patches: Vec<Value>,
}

impl Default for KserveWorld {
    fn default() -> Self {
        Self {
            mode: "Knative",
            canary: json!(20),
            rolled_out: "credit-1",
            previous: "",
            newest: "credit-2",
            share: 80,
            versions: vec![("credit-1", "v1"), ("credit-2", "v2"), ("credit-3", "v3")],
            version: 5,
            meanwhile: None,
            patches: vec![],
        }
    }
}

impl KserveWorld {
    pub(super) fn begun() -> Self {
        Self { canary: json!(0), share: 80, ..Self::default() }
    }

    pub(super) fn object(&self) -> Value {
        let mut predictor = json!({});
        if !self.canary.is_null() {
            predictor["canaryTrafficPercent"] = self.canary.clone();
        }
        let mut component = json!({
            "latestCreatedRevision": self.newest, "latestReadyRevision": self.newest,
            "latestRolledoutRevision": self.rolled_out,
            "traffic": [
                {"revisionName": self.newest, "latestRevision": true, "percent": 100 - self.share},
                {"revisionName": "credit-1", "latestRevision": false, "percent": self.share, "tag": "prev"},
            ],
        });
        if !self.previous.is_empty() {
            component["previousRolledoutRevision"] = self.previous.into();
        }
        json!({
            "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
            "metadata": {"name": "credit", "resourceVersion": self.version.to_string()},
            "spec": {"predictor": predictor},
            "status": {"deploymentMode": self.mode, "components": {"predictor": component}},
        })
    }
}

impl World for KserveWorld {
    fn answer(&mut self, seen: &Seen) -> Reply {
        if let Some(name) =
            path(seen).strip_prefix("/apis/serving.knative.dev/v1/namespaces/models/revisions/")
        {
            let found = self.versions.iter().find(|(revision, _)| *revision == name);
            return found.map_or_else(not_found, |(revision, version)| {
                let metadata = json!({"name": revision, "labels": {"model-version": version}});
                let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
                Reply::json(200, &json!({"metadata": metadata, "status": ready}))
            });
        }
        if path(seen) != "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices/credit" {
            return not_found();
        }
        if seen.method == "PATCH" {
            assert_eq!(seen.headers["content-type"], "application/merge-patch+json");
            if let Some(meanwhile) = self.meanwhile.take() {
                meanwhile(self);
                self.version += 1;
            }
            let (patch, version) = (seen.json(), self.version.to_string());
            if patch["metadata"]["resourceVersion"].as_str() != Some(version.as_str()) {
                return Reply::json(
                    409,
                    &json!({"reason": "Conflict", "message": "the object has been modified"}),
                );
            }
            self.canary = patch["spec"]["predictor"]["canaryTrafficPercent"].clone();
            self.version += 1;
            self.patches.push(patch);
        }
        Reply::json(200, &self.object())
    }

    fn done(&self) -> bool {
        self.canary == 0
    }
}

/// A rollout from `a` (v1) to `b` (v2), with a ReplicaSet for each.
pub(super) struct RolloutsWorld {
    pub(super) current: &'static str,
    pub(super) stable: &'static str,
    pub(super) abort: bool,
    pub(super) phase: &'static str,
    pub(super) weight: i64,
    pub(super) workload_ref: bool,
    /// Versions by hash.
    pub(super) versions: Vec<(&'static str, &'static str)>,
    /// Whether the status is a part of its own.
    pub(super) subresource: bool,
    pub(super) template: Value,
    pub(super) version: u64,
    pub(super) meanwhile: Option<fn(&mut Self)>,
    pub(super) patches: Vec<Value>,
}

impl Default for RolloutsWorld {
    fn default() -> Self {
        Self {
            current: "b",
            stable: "a",
            abort: false,
            phase: "Progressing",
            weight: 20,
            workload_ref: false,
            versions: vec![("a", "v1"), ("b", "v2"), ("c", "v3")],
            subresource: true,
            template: json!({}),
            version: 5,
            meanwhile: None,
            patches: vec![],
        }
    }
}

impl RolloutsWorld {
    pub(super) fn begun() -> Self {
        Self { abort: true, phase: "Degraded", ..Self::default() }
    }

    pub(super) fn object(&self) -> Value {
        let mut spec = json!({"replicas": 2, "template": self.template});
        if self.workload_ref {
            spec["workloadRef"] = json!({"kind": "Deployment", "name": "credit"});
        }
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {
                "name": "credit", "uid": "u-1", "generation": 4, "resourceVersion": self.version.to_string(),
            },
            "spec": spec,
            "status": {
                "abort": self.abort, "currentPodHash": self.current, "stableRS": self.stable,
                "observedGeneration": "4", "phase": self.phase, "replicas": 3,
                "canary": {"weights": {"canary": {"weight": self.weight}, "stable": {"weight": 100 - self.weight}}},
            },
        })
    }

    fn replica_set(&self, hash: &str) -> Option<Value> {
        let (hash, version) = self.versions.iter().find(|(other, _)| *other == hash)?;
        Some(json!({
            "metadata": {
                "name": format!("credit-{hash}"), "ownerReferences": [{"uid": "u-1", "controller": true}],
                "annotations": {"rollout.argoproj.io/revision": "3"},
            },
            "spec": {"template": {
                "metadata": {"labels": {
                    "app": "credit", "model-version": version, "rollouts-pod-template-hash": hash,
                }},
                "spec": {"containers": []},
            }},
            "status": {"replicas": 2, "availableReplicas": 2},
        }))
    }
}

impl World for RolloutsWorld {
    fn answer(&mut self, seen: &Seen) -> Reply {
        if let Some(name) = path(seen).strip_prefix("/apis/apps/v1/namespaces/models/replicasets/") {
            let set = self.replica_set(name.trim_start_matches("credit-"));
            return set.map_or_else(not_found, |set| Reply::json(200, &set));
        }
        if path(seen) == "/apis/apps/v1/namespaces/models/replicasets" {
            let wanted = seen.path.split("model-version%3D").nth(1).unwrap();
            let of = self.versions.iter().filter(|(_, version)| *version == wanted);
            let items: Vec<Value> = of.filter_map(|(hash, _)| self.replica_set(hash)).collect();
            return Reply::json(200, &json!({"items": items}));
        }
        let Some(part) =
            path(seen).strip_prefix("/apis/argoproj.io/v1alpha1/namespaces/models/rollouts/credit")
        else {
            return not_found();
        };
        if part == "/status" && !self.subresource {
            return not_found();
        }
        if seen.method == "PATCH" {
            if let Some(meanwhile) = self.meanwhile.take() {
                meanwhile(self);
                self.version += 1;
            }
            let patch = seen.json();
            let now = self.version.to_string();
            if let Some(operations) = patch.as_array() {
                assert_eq!(seen.headers["content-type"], "application/json-patch+json");
                if operations[0] != json!({"op": "test", "path": "/metadata/resourceVersion", "value": now}) {
                    return Reply::json(422, &json!({"message": "testing value failed"}));
                }
                self.template = operations[1]["value"].clone();
                (self.current, self.phase) = ("a", "Progressing");
            } else {
                if patch["metadata"]["resourceVersion"] != now {
                    return Reply::json(409, &json!({"reason": "Conflict"}));
                }
                self.abort = patch["status"]["abort"] == true;
                self.phase = "Degraded";
            }
            self.version += 1;
            self.patches.push(patch);
        }
        Reply::json(200, &self.object())
    }

    fn done(&self) -> bool {
        self.abort || !self.patches.is_empty()
    }
}
