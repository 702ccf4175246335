//! What one story is played in: a registered model, an input topic, a reference profile and a configuration,
//! all with a name of their own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::daemon::{Daemon, plimsoll};
use super::mlflow::{ALIAS, Registry};
use super::planted::{Search, secret_file};
use super::serving::{PARTITIONS, Serving, record};
use super::{PATIENCE, airflow, env, topics, wait_for, wall};
use crate::support::Stream;

/// Rows of the reference.
const REFERENCE: i64 = 20_000;

/// What differs from story to story.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// What the policy asks for.
    pub(super) actions: &'static str,
    /// MLflow's user, and the file of the password that it gives.
    pub(super) mlflow: (&'static str, &'static str),
    /// Airflow's.
    pub(super) airflow: (&'static str, &'static str),
    /// The DAG.
    pub(super) dag: &'static str,
    /// How long a run may take.
    pub(super) finish_within: &'static str,
    /// What the daemon logs. More than usual, so that there is more to search for secrets.
    pub(super) log: &'static str,
    /// Lines at the top level.
    pub(super) more: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            actions: "[roll-back]",
            mlflow: ("plimsoll", "mlflow-plimsoll"),
            airflow: ("plimsoll", "airflow-plimsoll"),
            dag: airflow::DAG,
            finish_within: "3m",
            log: "debug",
            more: "",
        }
    }
}

#[derive(Debug)]
pub(super) struct Setting {
    pub(super) folder: PathBuf,
    /// Of the model, the topic and the group.
    pub(super) name: String,
    pub(super) config: PathBuf,
    pub(super) registry: Registry,
    /// What the daemon's answers ask for, and its hash.
    token: String,
    token_hash: String,
}

/// The parts of a story that run, and what they run in.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) setting: Setting,
    pub(super) serving: Serving,
    pub(super) daemon: Daemon,
}

impl Setting {
    /// A model of `versions` versions, the first of which serves. The folder stays where the test fails.
    pub(super) fn new(test: &str, versions: u32, options: &Options) -> Self {
        let name = format!("chain-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let registry = Registry::new(&name, versions);
        registry.promote(1);
        topics::make(&name, PARTITIONS);
        let (token, token_hash) = draw_token(&name);
        draw_key(&name);
        let config = folder.join("plimsoll.yaml");
        let setting = Self { folder, name, config, registry, token, token_hash };
        setting.freeze_reference();
        std::fs::write(&setting.config, setting.text("profile: profile.json", options)).unwrap();
        setting
    }

    /// Everything runs, and the first version has become one that is good to go back to.
    pub(super) fn play(self) -> Stage {
        let serving = Serving::start(&self.registry, &self.name);
        let daemon = Daemon::start(&self.config, &self.token);
        wait_for("the first version to be good", PATIENCE, || daemon.has_qualified("v1").then_some(()));
        Stage { setting: self, serving, daemon }
    }

    /// What is committed in the audit log.
    pub(super) fn audit(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        topics::read(&format!("{}.audit", self.name), "read_committed", |message| {
            entries.push(serde_json::from_slice(rdkafka::Message::payload(message).unwrap()).unwrap());
        });
        entries
    }

    /// The end that the audit log has of an action.
    pub(super) fn outcome(&self, action: &Value) -> Value {
        let audit = self.audit();
        let is = |entry: &&Value| entry["kind"] == "outcome" && entry["action_id"] == action["id"];
        audit.iter().find(is).unwrap_or_else(|| panic!("no outcome of {action}: {audit:#?}"))["outcome"]
            .clone()
    }

    fn freeze_reference(&self) {
        let (rows, config) = (self.folder.join("reference.ndjson"), self.folder.join("reference.yaml"));
        let (mut random, first) = (Stream(11), wall() - REFERENCE);
        let lines = (0..REFERENCE).map(|row| record(&self.name, 1, first + row, &mut random) + "\n");
        std::fs::write(&rows, lines.collect::<String>()).unwrap();
        let all = self.text("", &Options::default());
        // Checks against a profile have to wait for it.
        std::fs::write(&config, all.split_once("    checks:").unwrap().0).unwrap();
        let mut profile = plimsoll();
        profile.args(["profile", "--model", &self.name, "--config"]).arg(&config).arg("--input").arg(&rows);
        let ran = profile.arg("--output").arg(self.folder.join("profile.json")).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    fn text(&self, profile: &str, options: &Options) -> String {
        let Self { name, token_hash, .. } = self;
        let audit_key = secret_file(&format!("audit-{name}")).display().to_string();
        let Options { actions, dag, finish_within, log, more, .. } = options;
        let ((registrar, mlflow), (starter, airflow)) = (options.mlflow, options.airflow);
        let [brokers, authority, user] =
            ["TLS", "CA", "USER"].map(|it| env(&format!("PLIMSOLL_TEST_KAFKA_{it}")));
        let [registry, scheduler, alertmanager, webhook] =
            ["MLFLOW", "AIRFLOW", "ALERTMANAGER", "WEBHOOK"].map(|it| env(&format!("PLIMSOLL_CHAIN_{it}")));
        let [airflow, key, kafka] =
            [airflow, "webhook", "kafka"].map(|it| secret_file(it).display().to_string());
        // One of the passwords comes from the environment, the others from files.
        let mlflow = if mlflow == "mlflow-plimsoll" {
            "env: CHAIN_MLFLOW_PASSWORD".to_owned()
        } else {
            format!("file: {}", secret_file(mlflow).display())
        };
        format!(
            r#"
kafka:
  brokers: "{brokers}"
  group: {name}
  security:
    protocol: sasl_ssl
    ca_file: {authority}
    mechanism: SCRAM-SHA-512
    username: {user}
    password: {{file: {kafka}}}
  commit_interval: 200ms
  exchange: {{prefix: {name}, partitions: 2}}
  dead_letter_topic: {name}.dead-letter
  findings_topic: {name}.findings
topics:
  - {{name: {name}, model: /model, allowed_lateness: 500ms, idle_after: 2s}}
models:
  - name: {name}
    topics: [{name}]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /prediction, positive: approved}}
    score: /score
    groups:
      - {{name: sex, from: /sex, values: [F, M]}}
    live: {{versions: 50, starts: 4}}
    pane: 1s
    {profile}
    checks:
      - {{name: score-drift, metric: psi, of: score, window: 5s, slide: 1s, bound: "<= 0.2", min_samples: 200, tolerance: 0.05}}
      - {{name: approval-ratio, metric: selection_rate_ratio, groups: [sex], window: 5s, slide: 1s, bound: ">= 0.7", confidence: 0.95}}
policies:
  - name: trusted
    model: {name}
    checks: [score-drift, approval-ratio]
    clear: {{windows: 3}}
    qualify: {{windows: 3, for: 5s, samples: 1000}}
    verify: {{within: 60s, traffic: 0.95, samples: 500}}
    mode: auto
    actions: {actions}
actions:
  - name: roll-back
    kind: rollback
    target: mlflow
    mlflow: {{url: "{registry}", username: {registrar}, password: {{{mlflow}}}, alias: {ALIAS}, version_prefix: v}}
  - name: retrain
    kind: retrain
    target: airflow
    airflow:
      url: "{scheduler}"
      username: {starter}
      password: {{file: {airflow}}}
      dag: {dag}
      conf: {{model: "{{model}}", because_of: "{{version}}", decision: "{{decision}}"}}
    finish_within: {finish_within}
  - name: tell
    kind: notify
    target: alertmanager
    alertmanager: {{url: "{alertmanager}"}}
  - name: hook
    kind: notify
    target: webhook
    webhook: {{url: "{webhook}/hooks/rollback", secret: {{file: {key}}}}}
audit:
  store: kafka
  topic: {name}.audit
  origin: plimsoll.test/{name}
  key: {{file: {audit_key}}}
  checkpoint_topic: {name}.checkpoints
  checkpoint_interval: 1s
http:
  listen: 127.0.0.1:0
  anonymous: none
  tokens: [{{name: tests, role: viewer, sha256: "{token_hash}"}}]
log: {{level: "{log}"}}
{more}
"#
        )
    }
}

/// The key that signs the audit log of a story.
fn draw_key(name: &str) {
    let mut key = plimsoll();
    key.args(["audit", "key", "--origin", &format!("plimsoll.test/{name}"), "--output"]);
    let ran = key.arg(secret_file(&format!("audit-{name}"))).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// A token for the daemon of a story, and its hash as the configuration has it.
fn draw_token(name: &str) -> (String, String) {
    let ran = plimsoll().args(["token", "--name", "tests", "--role", "viewer"]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let token = said.lines().find(|line| line.starts_with("plimsoll_")).expect("a token").to_owned();
    let hash = said.split_once("sha256: \"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let file = secret_file(&format!("token-{name}"));
    std::fs::write(&file, &token).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (token, hash)
}

impl Stage {
    /// A person makes a version serve, and it does.
    pub(super) fn promote(&self, version: u32) {
        self.setting.registry.promote(version);
        self.serving.await_version(version);
    }

    /// What became of an action, once it is in this state.
    pub(super) fn await_action(&self, name: &str, state: &str) -> Value {
        self.daemon.await_action(name, state, PATIENCE)
    }

    /// Stops everything, and searches for secrets whatever the story has left behind. The files stay for
    /// the script, which searches them again.
    pub(super) fn done(self) {
        let mut search = Search::new();
        search.daemon(&self.daemon, &self.setting.name);
        let Self { setting, serving, daemon } = self;
        drop(serving);
        daemon.terminate();
        search.topics(&setting.name);
        search.files(&setting.folder);
        search.servers();
        search.found_nothing(&setting.name);
    }
}
