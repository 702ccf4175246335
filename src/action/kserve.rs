//! The traffic of a KServe inference service: the newest revision is left with none.
//!
//! `canaryTrafficPercent: 0` gives all traffic to the revision that had all of it before the newest one
//! came; where the newest one has had all of it already, to the one before. KServe keeps no more than
//! these names, so the version behind each is read from the label of its Knative revision, and the patch
//! is sent only where the newest is the bad version and the other one the good version. The patch names
//! the `resourceVersion` that was read: who deploys in between is not overwritten.
//!
//! Knative mode only; in the others the share means something else or nothing. Members as in the
//! InferenceService `serving.kserve.io/v1beta1`; how revisions are counted as in
//! `inference_service_status.go` (`PropagateStatus`) and `ksvc_reconciler.go` of kserve/kserve aaac4e2.

use std::fmt;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply};

use super::http::{self, Place};
use super::kubernetes::{Api, Form, Patched, ROUNDS, Standing, text, unseen};
use super::request::{Request, Template, TemplateError};
use super::{Clock, Credential, Target};

/// Why a service cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The name of the service.
    #[error("the service is no template")]
    Service(#[source] TemplateError),
    /// Something else than a rollback.
    #[error("a share of traffic cannot be asked to {kind}")]
    Kind {
        /// What the action is for.
        kind: ActionKind,
    },
}

/// An inference service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Kubernetes API; and how long one request may take.
    pub place: Place,
    /// How to log in. The account needs `get` and `patch` of `inferenceservices.serving.kserve.io` and `get`
    /// of `revisions.serving.knative.dev`.
    pub token: Credential,
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the InferenceService; a template.
    pub service: String,
    /// Its label with the version, which KServe hands on to revisions.
    pub version_label: String,
}

/// A service, or one for each model.
pub struct Kserve {
    name: String,
    api: Api,
    namespace: String,
    service: Template,
    label: String,
}

impl fmt::Debug for Kserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kserve").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is needed to leave the bad version.
#[derive(Debug)]
struct Way {
    service: String,
    resource_version: String,
    good: String,
}

impl Kserve {
    /// The service that `config` describes, for actions of `kind`. Reads the file of authorities, and calls
    /// nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let Config { place, token, namespace, service, version_label } = config;
        if kind != ActionKind::Rollback {
            return Err(Error::Kind { kind });
        }
        let api = Api::new(place, token, clock)?;
        let name = api.name("kserve", &[namespace, service, version_label]);
        Ok(Self {
            name: format!("{name} {namespace}/{service}"),
            api,
            namespace: namespace.clone(),
            service: Template::new(service, kind).map_err(Error::Service)?,
            label: version_label.clone(),
        })
    }

    fn path<'a>(&'a self, service: &'a str) -> [&'a str; 7] {
        ["apis", "serving.kserve.io", "v1beta1", "namespaces", &self.namespace, "inferenceservices", service]
    }

    async fn service(&self, call: &Call) -> Result<(String, Option<Value>), Reply> {
        let service = self.service.render(&Request::of(call)?)?;
        let found = self.api.get(&self.path(&service)).await?;
        Ok((service, found))
    }

    /// The Knative revision of this name.
    async fn revision(&self, name: &str) -> Result<Option<Value>, Reply> {
        let path = ["apis", "serving.knative.dev", "v1", "namespaces", &self.namespace, "revisions", name];
        self.api.get(&path).await
    }

    /// Which version a revision serves; nothing where it has no label.
    fn version<'a>(&self, revision: &'a Value) -> &'a str {
        revision["metadata"]["labels"][&self.label].as_str().unwrap_or_default()
    }

    async fn standing(&self, call: &Call) -> Result<Standing<Way>, Reply> {
        let request = Request::of(call)?;
        let to_version = request.to_version.unwrap_or_default();
        let (service, found) = self.service(call).await?;
        let Some(object) = found else {
            return Ok(Standing::Elsewhere(format!("there is no InferenceService {service}")));
        };
        let mode = match text(&object, "/status/deploymentMode") {
            "" => object["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]
                .as_str()
                .unwrap_or_default(),
            mode => mode,
        };
        if !matches!(mode, "Knative" | "Serverless") {
            let mode = if mode.is_empty() { "unknown".to_owned() } else { self.api.clean(mode) };
            return Ok(Standing::NotReady(format!("the mode of {service} is {mode}, and not Knative")));
        }
        let Revisions { latest, good, share, moving } = Revisions::of(&object);
        if latest.is_empty() {
            return Ok(Standing::NotReady(format!("{service} has no revision that is ready")));
        }
        if moving {
            return Ok(Standing::Elsewhere(format!(
                "{service} has a newer revision on its way than {latest}"
            )));
        }
        let newest = self.revision(latest).await?;
        let serves = newest.as_ref().map(|revision| self.version(revision)).unwrap_or_default();
        if serves != request.version {
            let (serves, bad) = (self.api.clean(serves), request.version);
            return Ok(Standing::Elsewhere(format!(
                "the newest revision {latest} serves `{serves}`, and not {bad}"
            )));
        }
        if good.is_empty() {
            return Ok(Standing::NoGood(format!("KServe knows no revision of {service} before {latest}")));
        }
        let Some(revision) = self.revision(good).await? else {
            return Ok(Standing::NoGood(format!("the revision {good} is gone")));
        };
        let serves = self.version(&revision);
        if serves != to_version {
            let serves = self.api.clean(serves);
            return Ok(Standing::NoGood(format!(
                "the revision before {latest} is {good}, which serves `{serves}`, and not {to_version}"
            )));
        }
        if object["spec"]["predictor"]["canaryTrafficPercent"] == 0 {
            return Ok(Standing::Good(format!("{service}: {share}% of the traffic on {good}")));
        }
        let conditions = revision["status"]["conditions"].as_array().into_iter().flatten();
        if { conditions }.any(|condition| condition["type"] == "Ready" && condition["status"] == "False") {
            return Ok(Standing::NoGood(format!("the revision {good} is not ready")));
        }
        let (resource_version, good) =
            (text(&object, "/metadata/resourceVersion").to_owned(), good.to_owned());
        Ok(Standing::Bad(Way { service, resource_version, good }))
    }

    async fn check(&self, call: &Call) -> Result<Reply, Reply> {
        self.standing(call).await?.against().map(|_| Reply::Clear)
    }

    async fn roll_back(&self, call: &Call) -> Result<Reply, Reply> {
        let mut said = String::new();
        for _ in 0..ROUNDS {
            let Way { service, resource_version, good } = match self.standing(call).await? {
                Standing::Good(detail) => return Ok(accepted(detail)),
                standing => standing.against()?,
            };
            let patch = json!({
                "metadata": {"resourceVersion": resource_version},
                "spec": {"predictor": {"canaryTrafficPercent": 0}},
            });
            match self.api.patch(&self.path(&service), Form::Merge, &patch).await? {
                Patched::Is(object) if object["spec"]["predictor"]["canaryTrafficPercent"] == 0 => {
                    return Ok(accepted(format!("{service}: the traffic goes to {good}")));
                }
                Patched::Is(_) => return Ok(unseen()),
                Patched::Conflict(words) => said = words,
                Patched::Absent(words) => return Ok(Reply::Rejected { why: words }),
            }
        }
        let why = format!("somebody else writes all the time: {said}");
        Ok(Reply::Retry { why, doubt: false, retry_after: None })
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        Ok(match self.standing(call).await? {
            Standing::Bad(_) => Reply::Absent,
            Standing::Good(detail) => accepted(detail),
            Standing::Elsewhere(why) | Standing::NoGood(why) | Standing::NotReady(why) => {
                Reply::Rejected { why }
            }
        })
    }

    /// Whether the traffic has moved. What serves is looked at, and not what was asked for.
    async fn follow(&self, call: &Call) -> Result<Reply, Reply> {
        let (service, found) = self.service(call).await?;
        let Some(object) = found else {
            return Ok(Reply::Failed { why: format!("the InferenceService {service} is gone") });
        };
        let asked = &object["spec"]["predictor"]["canaryTrafficPercent"];
        if *asked != 0 {
            let now = if asked.is_null() { "not set any more".to_owned() } else { format!("{asked} now") };
            return Ok(Reply::Failed { why: format!("someone else has changed the share: it is {now}") });
        }
        let Revisions { latest, good, share, .. } = Revisions::of(&object);
        Ok(if share == 100 && good != latest {
            Reply::Succeeded { detail: format!("{service}: all traffic on {good}") }
        } else {
            Reply::Running { detail: format!("{service}: {share}% of the traffic on {good}") }
        })
    }
}

/// What a service's status says of its revisions.
struct Revisions<'a> {
    /// The newest that is ready.
    latest: &'a str,
    /// The one to which all traffic but the newest's goes, or would go; empty where there is none.
    good: &'a str,
    /// Percent of the traffic that this has.
    share: i64,
    /// Whether a newer one than `latest` is being made.
    moving: bool,
}

impl<'a> Revisions<'a> {
    fn of(object: &'a Value) -> Self {
        let component = &object["status"]["components"]["predictor"];
        let name = |member: &str| component[member].as_str().unwrap_or_default();
        let (latest, rolled_out) = (name("latestReadyRevision"), name("latestRolledoutRevision"));
        let good = if rolled_out == latest { name("previousRolledoutRevision") } else { rolled_out };
        let targets = component["traffic"].as_array().into_iter().flatten();
        let share = targets
            .filter(|target| !good.is_empty() && target["revisionName"] == good)
            .filter_map(|target| target["percent"].as_i64())
            .sum();
        Self { latest, good, share, moving: name("latestCreatedRevision") != latest }
    }
}

fn accepted(detail: String) -> Reply {
    Reply::Accepted { reference: Some("traffic".to_owned()), detail, done: false }
}

impl Target for Kserve {
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
