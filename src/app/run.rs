//! `plimsoll run`: an instance of the daemon, in the roles that it was given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;

use super::act;
use super::acting::Acting;
use super::clock::now_millis;
use super::daemon::{self, READING, Surroundings};
use super::people;
use super::pipeline::{Pipeline, TopicSpec};
use super::reload::{Configurations, Load, Publisher, Reloader, declare};
use super::roles::{Around, Board, End, Ends, evaluate, observe};
use super::{compile, wiring};
use crate::action::lease::monotonic;
use crate::api::{self, Readiness, Reload};
use crate::audit::{FileStore, KafkaStore};
use crate::config::{AuditStore, Config, Kafka, Role};
use crate::domain::Decision;
use crate::exchange::{kafka::Producer, topics};
use crate::ingest::kafka::KafkaSource;
use crate::profile::Profile;
use crate::telemetry::Telemetry;

/// How long the broker may take to answer when topics are looked up and made at start, each time, so
/// that a signal to stop is heard in between; and how often it is asked.
const START_TIMEOUT: Duration = Duration::from_millis(1_500);
const START_ATTEMPTS: u32 = 20;

/// How long reading the state of a partition may stand still: longer than a transaction of an instance
/// that is gone for good stays open.
const RESTORE_PATIENCE: Duration = Duration::from_secs(75);
/// Most bytes of a state record in one message; brokers take a megabyte, with what goes around it.
const PART_BYTES: usize = 700_000;

/// What a running daemon is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// References that are not in files.
    pub profiles: BTreeMap<String, Profile>,
    /// What the first audit entry says of this run.
    pub started: BTreeMap<String, String>,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
    /// Reads the configuration again; none: it stays as it is.
    pub load: Option<Load>,
}

/// A daemon whose HTTP interface is up; its engine runs when `serve` is called.
#[derive(Debug)]
pub struct Daemon<'a> {
    start: Start<'a>,
    kafka: &'a Kafka,
    topics: Vec<TopicSpec>,
    runtime: Runtime,
    reload: Reload,
    /// Where people's orders go.
    commands: api::Commands,
    /// Counters and pictures.
    pub telemetry: Telemetry,
    readiness: Readiness,
    /// Where the HTTP interface listens.
    pub address: SocketAddr,
}

impl<'a> Daemon<'a> {
    /// Compiles the models and opens the HTTP interface. A configuration that cannot run is found
    /// out here, before Kafka is spoken to.
    ///
    /// # Errors
    /// When a model cannot run as it is configured, or the port is taken.
    pub fn new(start: Start<'a>) -> anyhow::Result<Self> {
        let config = start.config;
        let kafka = config.require_kafka()?;
        let topics = compile::topics(config, &start.profiles).map_err(|errors| super::several(&errors))?;
        let telemetry =
            Telemetry::new(env!("CARGO_PKG_VERSION"), option_env!("PLIMSOLL_REVISION").unwrap_or("unknown"));
        telemetry.declare_topics(config.topics.iter().map(|topic| topic.name.as_str()));
        declare(config, &telemetry);
        telemetry.declare_roles(config.roles.iter().map(|role| role.name()));
        let readiness = Readiness::default();
        for role in &config.roles {
            readiness.unmet(role.name(), "not started yet");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("plimsoll-io")
            .enable_all()
            .build()
            .context("cannot start the I/O threads")?;
        let reload = Reload::default();
        if start.load.is_some() {
            reload_on_hangup(runtime.handle(), reload.clone())?;
        }
        let services = people::services(&config.http, reload.clone())?;
        let commands = services.commands.clone();
        let listener = api::bind(&api::Config { listen: config.http.listen })?;
        let address = listener.local_addr().context("the HTTP interface has no address")?;
        runtime.spawn({
            let (telemetry, readiness) = (telemetry.clone(), readiness.clone());
            async move {
                let served =
                    api::serve_with(listener, telemetry, readiness, services, std::future::pending());
                if let Err(error) = served.await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the HTTP interface has ended");
                }
            }
        });
        Ok(Self { start, kafka, topics, runtime, reload, commands, telemetry, readiness, address })
    }

    /// Takes its roles until it is asked to stop, joined to other instances by Kafka. Blocks; call it on
    /// a plain thread.
    ///
    /// # Errors
    /// When a role cannot go on. Nothing is lost: whoever takes over continues from what is committed.
    pub fn serve(&self) -> anyhow::Result<()> {
        if !self.ensure_topics()? {
            return Ok(());
        }
        let instance = wiring::instance(self.kafka)?;
        let roles: Vec<Role> = self.start.config.roles.iter().copied().collect();
        let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let own = wiring::role_topics(self.start.config);
        let own = own.iter().map(|topic| topic.name.as_str());
        self.telemetry.declare_exchange(&instance, self.kafka.exchange.partitions, own);
        tracing::info!(instance, group = self.kafka.group, roles = names.join(" "), "starting");
        let configurations = self.configurations(&instance)?;
        if !self.start.config.http.tokens.is_empty() {
            let client = wiring::connection(self.kafka).client_config();
            let publisher = people::Publisher::new(&client, &self.kafka.exchange.decisions_topic())?;
            self.commands.serve(publisher.deliver());
        }
        let around = self.around();
        let ends: Ends = Ends::default();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            for role in roles {
                let (around, ends, instance) = (&around, &ends, instance.as_str());
                let configurations = Arc::clone(&configurations);
                let name = format!("plimsoll-{}", role.name());
                let serve = move || {
                    // Whatever happens to a role, the others must not wait for it for ever.
                    let _end = End { role, ends, around };
                    let served = match role {
                        Role::Observe => observe::serve(&self.observe(instance, configurations), around),
                        Role::Evaluate => evaluate::serve(&self.evaluate(instance, configurations), around),
                        Role::Act => self.act(around),
                    };
                    if let Err(error) = served {
                        tracing::error!(
                            role = role.name(),
                            error = format!("{error:#}"),
                            "a role cannot go on"
                        );
                        ends.failed(error.context(format!("the role `{}` cannot go on", role.name())));
                    }
                };
                ends.begin(role);
                std::thread::Builder::new().name(name).spawn_scoped(scope, serve)?;
            }
            ends.watch(&around);
            Ok(())
        })?;
        ends.outcome()
    }

    fn around(&self) -> Around {
        Around {
            telemetry: self.telemetry.clone(),
            readiness: self.readiness.clone(),
            board: Board::new(self.telemetry.clone()),
            stop: Arc::clone(&self.start.stop),
            commit_interval: self.kafka.commit_interval,
            max_lag: i64::try_from(self.kafka.max_lag).unwrap_or(i64::MAX),
        }
    }

    /// What everybody runs with: what is published, and what this instance has to add to it.
    fn configurations(&self, instance: &str) -> anyhow::Result<Arc<Configurations>> {
        let (kafka, config) = (self.kafka, self.start.config);
        let exchange = &kafka.exchange;
        let client = wiring::connection(kafka).client_config();
        let configurations = Arc::new(Configurations::new(&client, &exchange.control_topic())?);
        let stays = config.clone();
        let reloader = Arc::new(Reloader {
            running: config.clone(),
            profiles: self.start.profiles.clone(),
            load: self.start.load.clone().unwrap_or_else(|| Load::new(move || Ok(stays.clone()))),
            configurations: Arc::clone(&configurations),
            publisher: Publisher {
                client,
                id: wiring::control_id(kafka, instance),
                control: exchange.control_topic(),
                partials: exchange.partials_topic(),
                partitions: exchange.partitions,
                state: exchange.state_topic(),
                most_bytes: wiring::CONTROL_BYTES as usize,
            },
            instance: instance.to_owned(),
            commit_interval: kafka.commit_interval,
            telemetry: self.telemetry.clone(),
            stop: Arc::clone(&self.start.stop),
            busy: Mutex::new(()),
        });
        reloader.start().context("the configuration cannot be shared with the other instances")?;
        if self.start.load.is_some() {
            self.reload.serve(Arc::new(move || reloader.reload()));
        }
        Ok(configurations)
    }

    fn observe(&self, instance: &str, configurations: Arc<Configurations>) -> observe::Settings {
        let (kafka, config) = (self.kafka, self.start.config);
        observe::Settings {
            configurations,
            limits: compile::limits(config),
            source: wiring::source(kafka, config),
            client: wiring::connection(kafka).client_config(),
            id: wiring::transactional_id(kafka, Role::Observe, instance),
            partials: kafka.exchange.partials_topic(),
            partitions: kafka.exchange.partitions,
            dead_letter_topic: kafka.dead_letter_topic.clone(),
            keep: wiring::producer(kafka).keep,
        }
    }

    fn evaluate(&self, instance: &str, configurations: Arc<Configurations>) -> evaluate::Settings {
        let kafka = self.kafka;
        evaluate::Settings {
            configurations,
            inputs: self.topics.iter().map(|topic| Arc::clone(&topic.name)).collect(),
            source: wiring::exchange_source(kafka, Role::Evaluate, &kafka.exchange.partials_topic()),
            client: wiring::connection(kafka).client_config(),
            id: wiring::transactional_id(kafka, Role::Evaluate, instance),
            state: kafka.exchange.state_topic(),
            decisions: kafka.exchange.decisions_topic(),
            findings: kafka.findings_topic.clone(),
            restore_patience: RESTORE_PATIENCE,
            part_bytes: PART_BYTES,
        }
    }

    fn act(&self, around: &Around) -> anyhow::Result<()> {
        let topic = self.kafka.exchange.decisions_topic();
        let source = wiring::exchange_source(self.kafka, Role::Act, &topic);
        let publisher = people::Publisher::new(&wiring::connection(self.kafka).client_config(), &topic)?;
        let surroundings = act::Surroundings {
            telemetry: around.telemetry.clone(),
            readiness: around.readiness.clone(),
            shown: around.board.actions(),
            stop: Arc::clone(&around.stop),
            mark: act::writing(publisher),
            clock: Arc::new(now_millis),
            monotonic: monotonic(),
            session_timeout: source.session_timeout()?,
        };
        act::run(
            || KafkaSource::new(&source).context("cannot read the decisions"),
            |ownership| self.take_over(ownership),
            &surroundings,
        )
    }

    /// Opens the audit log as the owner of the decisions.
    fn take_over(&self, ownership: act::Ownership) -> anyhow::Result<Acting> {
        let config = self.start.config;
        let (actor, executor, results) =
            wiring::actions(config, self.start.started.clone(), self.runtime.handle())?;
        let (telemetry, now) = (self.telemetry.clone(), now_millis());
        match &config.audit.store {
            AuditStore::Kafka { topic, checkpoint_topic } => {
                let log = wiring::audit_topics(self.kafka, &config.audit, topic, checkpoint_topic);
                let opened = KafkaStore::open(log).context("the audit log cannot be opened")?;
                Acting::take_over(actor, opened, executor, results, telemetry, now, ownership)
            }
            AuditStore::File { path, checkpoint_path } => {
                let checkpoints = wiring::signed(&config.audit, checkpoint_path.clone());
                let opened =
                    FileStore::open_signed(path, checkpoints).context("the audit log cannot be opened")?;
                Acting::take_over(actor, opened, executor, results, telemetry, now, ownership)
            }
        }
    }

    /// Reads, evaluates and acts in this thread, with nothing in between, until it is asked to stop: for
    /// the demo, whose broker keeps no offsets of transactions.
    ///
    /// # Errors
    /// When the input or the audit log cannot go on.
    pub fn serve_alone(&self) -> anyhow::Result<()> {
        let config = self.start.config;
        if !self.ensure_topics()? {
            return Ok(());
        }
        for role in &config.roles {
            self.readiness.met(role.name());
        }
        self.readiness.unmet(READING, "no partition is assigned yet");
        let (mut acting, _) = self.open_audit()?;
        let mut sink = Producer::new(&wiring::producer(self.kafka)).context("cannot make a producer")?;
        let around = Surroundings {
            telemetry: self.telemetry.clone(),
            readiness: self.readiness.clone(),
            stop: Arc::clone(&self.start.stop),
        };
        let mut pipeline = Pipeline::new(self.topics.clone(), compile::limits(config));
        let mut source =
            KafkaSource::new(&wiring::source(self.kafka, config)).context("cannot read Kafka")?;
        let (deliver, orders) = people::direct();
        self.commands.serve(deliver);
        daemon::serve(&mut source, &mut sink, &mut pipeline, &mut acting, &orders, &around)
    }

    /// Makes sure that plimsoll's own topics are there. Says no when it was asked to stop meanwhile.
    fn ensure_topics(&self) -> anyhow::Result<bool> {
        let client = wiring::connection(self.kafka).client_config();
        let own = wiring::role_topics(self.start.config);
        tracing::info!(brokers = self.kafka.brokers, "connecting to Kafka");
        for attempt in 1..=START_ATTEMPTS {
            if self.start.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let ensured = topics::ensure(&client, &own, self.kafka.create_topics, START_TIMEOUT);
            match self.runtime.block_on(ensured) {
                Ok(()) => return Ok(true),
                Err(error) if attempt == START_ATTEMPTS || error.is_refusal() => {
                    return Err(error).with_context(|| {
                        format!(
                            "plimsoll's own topics are not there, or {} cannot be reached",
                            self.kafka.brokers
                        )
                    });
                }
                Err(error) => tracing::warn!(
                    brokers = self.kafka.brokers,
                    error = &error as &dyn std::error::Error,
                    "Kafka has not answered yet; trying again"
                ),
            }
        }
        Ok(true)
    }

    fn open_audit(&self) -> anyhow::Result<(Acting, Vec<Decision>)> {
        let config = self.start.config;
        let (mut actor, executor, results) =
            wiring::actions(config, self.start.started.clone(), self.runtime.handle())?;
        // The demo's event time runs faster than the clock.
        actor.event_time_is_wall_time = false;
        let (telemetry, now) = (self.telemetry.clone(), now_millis());
        match &config.audit.store {
            AuditStore::Kafka { topic, checkpoint_topic } => {
                let log = wiring::audit_topics(self.kafka, &config.audit, topic, checkpoint_topic);
                let opened = KafkaStore::open(log).context("the audit log cannot be opened")?;
                Acting::open(actor, opened, executor, results, telemetry, now)
            }
            AuditStore::File { path, checkpoint_path } => {
                let checkpoints = wiring::signed(&config.audit, checkpoint_path.clone());
                let opened =
                    FileStore::open_signed(path, checkpoints).context("the audit log cannot be opened")?;
                Acting::open(actor, opened, executor, results, telemetry, now)
            }
        }
    }
}

/// Reads the configuration again on SIGHUP.
fn reload_on_hangup(runtime: &tokio::runtime::Handle, reload: Reload) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _guard = runtime.enter();
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen to SIGHUP")?;
    runtime.spawn(async move {
        while hangup.recv().await.is_some() {
            let reload = reload.clone();
            match tokio::task::spawn_blocking(move || reload.call()).await {
                Ok(Some(_told)) => {}
                Ok(None) => tracing::warn!("this instance is still starting; ask it to reload again"),
                Err(error) => tracing::error!(%error, "reloading has ended in a fault"),
            }
        }
    });
    Ok(())
}

/// Sets `stop` on SIGINT and SIGTERM; a second signal ends the process at once.
///
/// # Errors
/// When signals cannot be listened to.
pub fn stop_on_signals(runtime: &tokio::runtime::Handle, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    runtime.spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("stopping; a second signal ends the process at once");
            stop.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

impl Daemon<'_> {
    /// Whether the audit log is open and input is being read.
    pub fn ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// The I/O threads, for signals and the like.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        self.runtime.handle()
    }
}
