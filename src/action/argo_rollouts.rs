//! A rollout of Argo Rollouts: one that is under way to the bad version is aborted, and one that has
//! come there is undone where that is allowed.
//!
//! An abort (`status.abort`) gives the traffic back to the stable version and leaves the template as it
//! is: who takes the abort back goes forward to the bad version again. An undo puts the template of the
//! ReplicaSet of the good version back; it is a rollout of its own, with its own steps and pauses, and
//! whatever keeps the object as it is in Git takes it back.
//!
//! "One revision back" is never asked for: which versions the stable and the newest ReplicaSet serve is
//! read from a label of their pod templates. Patches hold only for what was read. As `kubectl argo
//! rollouts abort` and `undo` do it (argoproj/argo-rollouts 9f8d111, abort.go, undo.go).

use std::fmt;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply};

use super::http::{self, Place};
use super::kubernetes::{Api, Form, Patched, ROUNDS, Standing, text, unseen};
use super::request::{Request, Template, TemplateError};
use super::{Clock, Credential, Target};

/// The label that Rollouts gives each ReplicaSet, and takes from a template that is put back.
const HASH: &str = "rollouts-pod-template-hash";
/// What is followed: an abort, or an undo.
const ABORT: &str = "abort";
const UNDO: &str = "undo";

/// Why a rollout cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The name of the rollout.
    #[error("the rollout is no template")]
    Rollout(#[source] TemplateError),
    /// Something else than a rollback.
    #[error("a rollout cannot be asked to {kind}")]
    Kind {
        /// What the action is for.
        kind: ActionKind,
    },
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Kubernetes API; and how long one request may take.
    pub place: Place,
    /// How to log in. The account needs `get` and `patch` of `rollouts` and `rollouts/status` in
    /// `argoproj.io`, and `get` and `list` of `replicasets` in `apps`.
    pub token: Credential,
    /// Namespace of the rollout.
    pub namespace: String,
    /// Name of the Rollout; a template.
    pub rollout: String,
    /// Label of the pod template with the version.
    pub version_label: String,
    /// Whether a rollout that has ended is undone.
    pub undo: bool,
}

/// A rollout, or one for each model.
pub struct ArgoRollouts {
    name: String,
    api: Api,
    namespace: String,
    rollout: Template,
    label: String,
    undo: bool,
}

impl fmt::Debug for ArgoRollouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgoRollouts").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is needed to leave the bad version.
#[derive(Debug)]
struct Way {
    rollout: String,
    resource_version: String,
    /// The template to put back; none: an abort is enough.
    template: Option<Value>,
}

impl ArgoRollouts {
    /// The rollout that `config` describes, for actions of `kind`. Reads the file of authorities, and calls
    /// nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let Config { place, token, namespace, rollout, version_label, undo } = config;
        if kind != ActionKind::Rollback {
            return Err(Error::Kind { kind });
        }
        let api = Api::new(place, token, clock)?;
        let how = if *undo { UNDO } else { ABORT };
        let name = api.name("argo_rollouts", &[namespace, rollout, version_label, how]);
        Ok(Self {
            name: format!("{name} {namespace}/{rollout}"),
            api,
            namespace: namespace.clone(),
            rollout: Template::new(rollout, kind).map_err(Error::Rollout)?,
            label: version_label.clone(),
            undo: *undo,
        })
    }

    fn path<'a>(&'a self, rollout: &'a str) -> [&'a str; 7] {
        ["apis", "argoproj.io", "v1alpha1", "namespaces", &self.namespace, "rollouts", rollout]
    }

    async fn rollout(&self, call: &Call) -> Result<(String, Option<Value>), Reply> {
        let rollout = self.rollout.render(&Request::of(call)?)?;
        let found = self.api.get(&self.path(&rollout)).await?;
        Ok((rollout, found))
    }

    /// The ReplicaSet of a rollout with this hash.
    async fn replica_set(&self, rollout: &str, hash: &str) -> Result<Value, Reply> {
        let name = format!("{rollout}-{hash}");
        let path = ["apis", "apps", "v1", "namespaces", &self.namespace, "replicasets", &name];
        Ok(self.api.get(&path).await?.unwrap_or(Value::Null))
    }

    /// Which version a ReplicaSet serves; nothing where its template has no label.
    fn version(&self, replica_set: &Value) -> String {
        let labels = &replica_set["spec"]["template"]["metadata"]["labels"];
        labels[&self.label].as_str().unwrap_or_default().to_owned()
    }

    async fn standing(&self, call: &Call) -> Result<Standing<Way>, Reply> {
        let request = Request::of(call)?;
        let (bad, good) = (request.version, request.to_version.unwrap_or_default());
        let (rollout, found) = self.rollout(call).await?;
        let Some(object) = found else {
            return Ok(Standing::Elsewhere(format!("there is no Rollout {rollout}")));
        };
        let (current, stable) = (text(&object, "/status/currentPodHash"), text(&object, "/status/stableRS"));
        if current.is_empty() || stable.is_empty() || !observed(&object) {
            // It will have in a moment, also after an attempt of ours whose reply was lost.
            let why = format!("the controller has not caught up with {rollout}");
            return Err(Reply::Retry { why, doubt: false, retry_after: None });
        }
        let newest = self.version(&self.replica_set(&rollout, current).await?);
        let resource_version = text(&object, "/metadata/resourceVersion").to_owned();
        if current == stable {
            return self.ended(&object, rollout, resource_version, &newest, bad, good).await;
        }
        let kept = self.version(&self.replica_set(&rollout, stable).await?);
        if newest == good && kept == bad {
            return Ok(Standing::Good(format!("{rollout} is under way from {bad} to {good}")));
        }
        if newest != bad {
            let newest = self.api.clean(&newest);
            return Ok(Standing::Elsewhere(format!(
                "{rollout} is under way to `{newest}`, and not to {bad}"
            )));
        }
        if kept != good {
            let kept = self.api.clean(&kept);
            return Ok(Standing::NoGood(format!(
                "the stable version of {rollout} is `{kept}`, and not {good}"
            )));
        }
        if object["status"]["abort"] == true {
            return Ok(Standing::Good(format!("{rollout} is aborted; {good} is stable")));
        }
        Ok(Standing::Bad(Way { rollout, resource_version, template: None }))
    }

    /// The same of a rollout that is not under way; `serves` is the version of its only ReplicaSet.
    async fn ended(
        &self,
        object: &Value,
        rollout: String,
        resource_version: String,
        serves: &str,
        bad: &str,
        good: &str,
    ) -> Result<Standing<Way>, Reply> {
        if serves == good {
            return Ok(Standing::Good(format!("{rollout} is on {good}")));
        }
        if serves != bad {
            let serves = self.api.clean(serves);
            return Ok(Standing::Elsewhere(format!("{rollout} is on `{serves}`, and not on {bad}")));
        }
        if !self.undo {
            let why =
                format!("{rollout} has come to {bad}: there is nothing to abort, and `undo` is not allowed");
            return Ok(Standing::NotReady(why));
        }
        if object["spec"]["workloadRef"].is_object() {
            return Ok(Standing::NotReady(format!("the template of {rollout} is kept in another object")));
        }
        let path = ["apis", "apps", "v1", "namespaces", &self.namespace, "replicasets"];
        let uid = text(object, "/metadata/uid");
        let ours = |set: &Value| {
            let owners = set["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            self.version(set) == good && { owners }
                .any(|owner| owner["controller"] == true && owner["uid"] == uid)
        };
        let sets = self.api.list(&path, &self.label, good).await?;
        // Of several with the version the newest revision: they differ in other things than the model.
        let newest = sets.iter().filter(|set| ours(set)).max_by_key(|set| revision(set));
        let Some(set) = newest else {
            return Ok(Standing::NoGood(format!("{rollout} has kept no ReplicaSet of {good}")));
        };
        let mut template = set["spec"]["template"].clone();
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove(HASH);
        }
        Ok(Standing::Bad(Way { rollout, resource_version, template: Some(template) }))
    }

    async fn check(&self, call: &Call) -> Result<Reply, Reply> {
        self.standing(call).await?.against().map(|_| Reply::Clear)
    }

    async fn roll_back(&self, call: &Call) -> Result<Reply, Reply> {
        let mut said = String::new();
        for _ in 0..ROUNDS {
            let way = match self.standing(call).await? {
                Standing::Good(detail) => return Ok(accepted(UNDO, detail)),
                standing => standing.against()?,
            };
            let (how, patched) = match &way.template {
                None => (ABORT, self.abort(&way).await?),
                Some(template) => (UNDO, self.put_back(&way, template).await?),
            };
            match patched {
                Patched::Is(object) if shows(&object, &way) => {
                    return Ok(accepted(how, format!("{how} of {}", way.rollout)));
                }
                Patched::Is(_) => return Ok(unseen()),
                Patched::Conflict(words) => said = words,
                Patched::Absent(words) => return Ok(Reply::Rejected { why: words }),
            }
        }
        let why = format!("somebody else writes all the time: {said}");
        Ok(Reply::Retry { why, doubt: false, retry_after: None })
    }

    /// Aborts, by the part of the object that is for its status where there is one.
    async fn abort(&self, way: &Way) -> Result<Patched, Reply> {
        let patch = json!({
            "metadata": {"resourceVersion": way.resource_version},
            "status": {"abort": true},
        });
        let path = self.path(&way.rollout);
        match self.api.patch(&[&path[..], &["status"]].concat(), Form::Merge, &patch).await? {
            Patched::Absent(_) => self.api.patch(&path, Form::Merge, &patch).await,
            patched => Ok(patched),
        }
    }

    /// Puts `template` back. The test comes first: where it fails nothing is replaced.
    async fn put_back(&self, way: &Way, template: &Value) -> Result<Patched, Reply> {
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": way.resource_version},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]);
        self.api.patch(&self.path(&way.rollout), Form::Operations, &patch).await
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        Ok(match self.standing(call).await? {
            Standing::Bad(_) => Reply::Absent,
            Standing::Good(detail) => accepted(UNDO, detail),
            Standing::Elsewhere(why) | Standing::NoGood(why) | Standing::NotReady(why) => {
                Reply::Rejected { why }
            }
        })
    }

    /// Whether the good version serves: that it is the stable one, and that the bad one has no traffic.
    async fn follow(&self, call: &Call) -> Result<Reply, Reply> {
        let good = Request::of(call)?.to_version.unwrap_or_default().to_owned();
        let (rollout, found) = self.rollout(call).await?;
        let Some(object) = found else {
            return Ok(Reply::Failed { why: format!("the Rollout {rollout} is gone") });
        };
        let stable = text(&object, "/status/stableRS");
        let phase = self.api.clean(text(&object, "/status/phase"));
        if !observed(&object) || stable.is_empty() {
            return Ok(Reply::Running { detail: "the controller has not caught up".to_owned() });
        }
        let kept = self.replica_set(&rollout, stable).await?;
        let (serves, current) = (self.version(&kept), text(&object, "/status/currentPodHash"));
        if current == stable {
            return Ok(match phase.as_str() {
                "Healthy" if serves == good => Reply::Succeeded { detail: format!("{rollout} is on {good}") },
                _ if serves == good => Reply::Running { detail: phase },
                _ => Reply::Failed {
                    why: format!("someone else moved {rollout}: it is on `{}`", self.api.clean(&serves)),
                },
            });
        }
        if serves != good {
            // An undo on its way: the bad version is the stable one until it ends.
            let newest = self.version(&self.replica_set(&rollout, current).await?);
            return Ok(match phase.as_str() {
                _ if newest != good => {
                    let newest = self.api.clean(&newest);
                    Reply::Failed {
                        why: format!("someone else moved {rollout}: it is under way to `{newest}`"),
                    }
                }
                "Degraded" => Reply::Failed { why: format!("{rollout} is degraded on its way to {good}") },
                _ => Reply::Running { detail: phase },
            });
        }
        if object["status"]["abort"] != true {
            return Ok(Reply::Failed { why: format!("someone else has taken the abort of {rollout} back") });
        }
        Ok(if given_back(&object, &kept, stable) {
            Reply::Succeeded { detail: format!("{rollout} is aborted; {good} has the traffic") }
        } else {
            Reply::Running { detail: "aborted; the traffic is on its way".to_owned() }
        })
    }
}

/// Whether an object is as `way` would have it. Of a template the labels are compared: the server fills in
/// what the rest leaves to it.
fn shows(object: &Value, way: &Way) -> bool {
    let labels = |template: &Value| template["metadata"]["labels"].clone();
    match &way.template {
        None => object["status"]["abort"] == true,
        Some(template) => labels(&object["spec"]["template"]) == labels(template),
    }
}

/// Whether the controller has seen the newest specification.
fn observed(object: &Value) -> bool {
    let generation = object["metadata"]["generation"].as_i64();
    let seen = text(object, "/status/observedGeneration").parse::<i64>().ok();
    // Versions before 0.10 have a hash there.
    seen.is_none() || generation.is_none() || seen >= generation
}

/// Whether after an abort the ReplicaSet `kept`, with the hash `stable`, has all traffic: by the weights
/// where traffic is routed, by the service's selector in blue-green, else by the number of pods.
fn given_back(object: &Value, kept: &Value, stable: &str) -> bool {
    if let Some(weight) = object["status"]["canary"]["weights"]["canary"]["weight"].as_i64() {
        return weight == 0;
    }
    let active = text(object, "/status/blueGreen/activeSelector");
    if !active.is_empty() {
        return active == stable;
    }
    let number = |value: &Value| value.as_i64();
    let wanted = number(&object["spec"]["replicas"]).unwrap_or(1);
    let all = number(&object["status"]["replicas"]).unwrap_or(0);
    let available = number(&kept["status"]["availableReplicas"]).unwrap_or(0);
    available >= wanted && all <= number(&kept["status"]["replicas"]).unwrap_or(0)
}

/// The revision of a ReplicaSet.
fn revision(replica_set: &Value) -> u64 {
    let annotations = &replica_set["metadata"]["annotations"];
    annotations["rollout.argoproj.io/revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn accepted(how: &str, detail: String) -> Reply {
    Reply::Accepted { reference: Some(how.to_owned()), detail, done: false }
}

impl Target for ArgoRollouts {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::StateLike
    }

    fn abilities(&self) -> Abilities {
        Abilities { preflight: true, find: true, poll: true, cancel: false }
    }

    fn preflight<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.check(call).await.unwrap_or_else(|reply| reply) })
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.roll_back(call).await.unwrap_or_else(|reply| reply) })
    }

    fn find<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.look(call).await.unwrap_or_else(|reply| reply) })
    }

    fn poll<'a>(&'a self, call: &'a Call, _reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.follow(call).await.unwrap_or_else(|reply| reply) })
    }
}
