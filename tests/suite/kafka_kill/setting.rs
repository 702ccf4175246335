//! What one story is played in: topics and a group of its own, a configuration, and the messages that an
//! evaluator would have written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use plimsoll::domain::{Decision, DecisionKind, EventTime, ModelKey, Report, Segment, Standing, Verdict};
use plimsoll::engine::decided::{encode, encode_report};
use plimsoll::exchange::topics::{Retention, Topic, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::audit::Audit;
use super::server::Server;
use super::worlds::Site;
use super::{PATIENCE, env};

/// Of one story, which no other in this process has.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

pub(super) struct Setting {
    name: String,
    folder: PathBuf,
    pub(super) config: PathBuf,
    client: ClientConfig,
    producer: BaseProducer,
    /// The decisions, as they are in the topic.
    decisions: Vec<(String, Vec<u8>)>,
}

/// Wall time, milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "decisions are as old as the wall clock says")]
fn wall() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

impl Setting {
    /// Makes the topics, and writes what was decided about the model of each of `sites`.
    pub(super) fn new(sites: &[Site], server: &Server) -> Self {
        let name = format!("kill-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let folder = std::env::temp_dir().join(format!("plimsoll-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"))
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
        let topics = ["decisions", "audit"].map(|topic| Topic {
            name: format!("{name}.{topic}"),
            partitions: Some(1),
            retention: Retention::Forever,
            ..Topic::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ensure(&client, &topics, true, PATIENCE)).unwrap();
        let config = folder.join("plimsoll.yaml");
        std::fs::write(&config, configuration(&name, server)).unwrap();
        let producer = client.create().unwrap();
        let now = wall();
        let decisions = sites.iter().flat_map(|site| decisions(*site, now)).collect();
        let setting = Self { name, folder, config, client, producer, decisions };
        setting.decide();
        setting
    }

    /// Writes all decisions: an evaluator that is not sure that it has may do so again.
    pub(super) fn decide(&self) {
        for (key, message) in &self.decisions {
            self.write(key, message);
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Says that the log of the model of `site` shows it well on its first version since `since`.
    pub(super) fn recovers(&self, site: Site, since: EventTime) {
        let until = EventTime::from_millis(since.as_millis() + 60_000);
        let standing = Standing {
            policy: format!("trusted-{}", site.name()),
            version: "v1".into(),
            segment: Segment::All,
            from: since,
            own: Verdict::Pass,
            clear: Verdict::Pass,
            rows: 1_000,
        };
        let report = Report {
            tenant: None,
            model: site.name().into(),
            from: since,
            until,
            rows: BTreeMap::from([("v1".into(), 1_000), ("v2".into(), 0)]),
            standings: vec![standing],
        };
        self.write(site.name(), &encode_report(&report));
        self.producer.flush(PATIENCE).unwrap();
    }

    fn write(&self, key: &str, message: &[u8]) {
        let topic = format!("{}.decisions", self.name);
        self.producer.send(BaseRecord::to(&topic).partition(0).key(key).payload(message)).unwrap();
    }

    pub(super) fn audit(&self) -> Audit {
        Audit::new(&self.client, &format!("{}.audit", self.name))
    }

    /// Where the files are that stay after a story that went badly.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }
}

/// The first version is good, and the second is to be left.
fn decisions(site: Site, now: i64) -> [(String, Vec<u8>); 2] {
    [("v1", DecisionKind::Qualified, 60_000), ("v2", DecisionKind::Violated, 1_000)].map(
        |(version, kind, ago)| {
            let at = EventTime::from_millis(now - ago);
            let id = format!("{:016x}{:08x}{:08x}", now, site as u32, kind as u32);
            let key = ModelKey {
                tenant: None,
                model: site.name().into(),
                version: version.into(),
                segment: Segment::All,
                profile: None,
            };
            let decision = Decision {
                id: id.clone(),
                kind,
                policy: format!("trusted-{}", site.name()),
                decide: Default::default(),
                key,
                since: at,
                at,
                actions: vec![site.name().to_owned()],
                evidence: Vec::new(),
            };
            (id, encode(&decision, Some(now), &[]))
        },
    )
}

fn configuration(name: &str, server: &Server) -> String {
    let brokers = env("PLIMSOLL_TEST_KAFKA");
    let (mut models, mut policies) = (String::new(), String::new());
    for site in Site::ALL.map(Site::name) {
        models.push_str(&format!(
            r#"
  - name: {site}
    topics: [{name}]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /prediction, positive: approved}}
    groups: [{{name: sex, from: /sex, values: [F, M]}}]
    pane: 10s
    checks:
      - {{name: ratio, metric: selection_rate_ratio, groups: [sex], window: 60s, slide: 30s, bound: ">= 0.7", confidence: 0.95}}"#
        ));
        policies.push_str(&format!(
            r#"
  - name: trusted-{site}
    model: {site}
    checks: [ratio]
    decide: window
    window_may_act: true
    verify: {{within: 30m, traffic: 0.9, samples: 100}}
    mode: auto
    actions: [{site}]"#
        ));
    }
    let [webhook, mlflow, airflow, github] = Site::ALL.map(|site| server.url(site));
    format!(
        r#"
kafka:
  brokers: "{brokers}"
  group: {name}
  # A member that was killed holds up the group for as long as its session, or its interval while it joins.
  properties: {{session.timeout.ms: 4000, heartbeat.interval.ms: 1000, max.poll.interval.ms: 8000}}
  exchange: {{prefix: {name}, partitions: 1}}
topics:
  - {{name: {name}, model: /model}}
models:{models}
policies:{policies}
actions:
  - name: webhook
    kind: rollback
    target: webhook
    webhook: {{url: "{webhook}", secret: {{env: KILL_SECRET}}}}
  - name: mlflow
    kind: rollback
    target: mlflow
    mlflow: {{url: "{mlflow}", token: {{env: KILL_SECRET}}, alias: champion, version_prefix: v}}
  - name: airflow
    kind: retrain
    target: airflow
    airflow: {{url: "{airflow}", username: plimsoll, password: {{env: KILL_SECRET}}, dag: retrain}}
  - name: github
    kind: retrain
    target: github
    github: {{url: "{github}", repository: example/models, workflow: act.yml, token: {{env: KILL_SECRET}}}}
safety:
  # Four models that want something at once are what is wanted here.
  fleet_alarm: {{models: 100, share: 1.0, within: 1m}}
audit: {{store: kafka, topic: {name}.audit}}
http: {{listen: 127.0.0.1:0}}
log: {{format: json, level: debug}}
"#
    )
}
