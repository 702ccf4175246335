//! A thousand models of twenty features on one evaluator: what they take, and how long it is until an
//! instance that was killed is back with all of them.

use std::time::{Duration, Instant};

use super::ground::{Fleet, Ground, Settings, build, model, size, transactions};
use super::instance::Instance;
use super::records::{Record, Records, names};
use super::{broker, number, spread, table, wait_for, wall};

const FEATURES: usize = 20;
const PARTITIONS: i32 = 4;
const EXCHANGE: i32 = 8;
/// Rows of each model in each pane.
const ROWS: usize = 20;
const PANES: i64 = 8;
const PANE: i64 = 60_000;
const WITHIN: Duration = Duration::from_secs(600);
const CHECKS: &str = "    checks:
      - {name: drift, metric: psi, window: 5m, slide: 5m, min_samples: 50}
      - {name: missing, metric: null_rate, of: features, window: 5m, slide: 5m, bound: \"<= 0.05\"}
";

/// A thousand models, their records, and an observer and an evaluator that have taken them in.
struct Many {
    ground: Ground,
    fleet: Fleet,
    names: Vec<String>,
    records: Records,
    /// Event time of the next pane.
    next: i64,
    profile_bytes: u64,
}

impl Many {
    fn new(name: &str) -> Self {
        let ground = Ground::new(name, PARTITIONS);
        let names = names(number("MODELS", 1_000));
        let mut records = Records::new(2, FEATURES);
        let next = wall() / PANE * PANE - (PANES + 10) * PANE;
        let reference: Vec<String> = (0..2_000).map(|_| records.value(&names[0], next)).collect();
        let profile_bytes = ground.profiles(&reference, FEATURES, &names);
        let fleet = ground.fleet("many");
        let all: String = names
            .iter()
            .map(|name| {
                let file = format!("    profile: ../{name}.json\n");
                model(name, &ground.topic, FEATURES, "1m", &(file + CHECKS))
            })
            .collect();
        fleet.configure(Settings { exchange: EXCHANGE, idle_after: "3600s", ..Settings::default() }, &all);
        Self { ground, fleet, names, records, next, profile_bytes }
    }

    /// Writes one more pane of records of every model; returns how many.
    fn pane(&mut self) -> u64 {
        let Self { ground, names, records, next, .. } = self;
        let count = names.len() * ROWS;
        ground.produce((0..count).map(|number| Record {
            partition: (number % PARTITIONS as usize) as i32,
            // Rows of a model are spread over the pane; partitions go along together.
            value: records.value(&names[number % names.len()], *next + (number as i64 * PANE) / count as i64),
        }));
        *next += PANE;
        count as u64
    }

    /// Waits until everything written so far is read and evaluated.
    fn settle(&self, instances: &mut [&mut Instance]) {
        wait_for("all to be read", WITHIN, || {
            instances.iter_mut().for_each(|instance| instance.assert_lives());
            self.fleet.unread() == 0
        });
        let ends = self.fleet.ends_of_exchange();
        wait_for("all to be evaluated", WITHIN, || {
            instances.iter_mut().for_each(|instance| instance.assert_lives());
            self.fleet.evaluated(&ends)
        });
    }
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[test]
#[ignore = "needs a real broker: tests/kafka/measure.sh models"]
fn real_models_a_thousand_of_them_on_one_evaluator() {
    let mut many = Many::new("models");
    let fleet = many.fleet.clone();
    let config_bytes = std::fs::metadata(&fleet.config).unwrap().len();
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
    row("configuration", format!("{}, and {} a profile", mb(config_bytes), mb(many.profile_bytes)));
    let took = |times: [Duration; 3]| {
        let (median, most) = spread(times.map(|it| it.as_secs_f64()).to_vec());
        format!("median {median:.2} s, longest {most:.2} s (wall time)")
    };
    row("`plimsoll validate`", took([0; 3].map(|_| fleet.run(&["validate"]))));
    fleet.run(&["topics", "create"]);

    let mut evaluator = Instance::start(&fleet.config, "evaluator", "evaluate,act", 1);
    let up = wait_for("HTTP", WITHIN, || evaluator.get("/readyz").is_some());
    row("`run`: models compiled, HTTP is up after", format!("{:.2} s", up.as_secs_f64()));
    wait_for("the evaluator", WITHIN, || evaluator.is_ready());
    row("CPU until ready, without models seen", format!("{:.2} s", evaluator.cpu()));
    row("memory then", mb(evaluator.memory().0));
    let observer = Instance::start(&fleet.config, "observer", "observe", 1);
    wait_for("the observer", WITHIN, || observer.is_ready());
    let (before, started) = (evaluator.cpu(), observer.cpu());

    let mut written = 0;
    for _ in 0..PANES {
        written += many.pane();
    }
    many.settle(&mut [&mut evaluator]);
    let commits = transactions(&fleet.topic("state")) as f64;
    row("records", format!("{written}: {PANES} panes of a minute, {ROWS} rows of each model in each"));
    row("CPU of the observer", format!("{:.2} s", observer.cpu() - started));
    let used = evaluator.cpu() - before;
    row(
        "CPU of the evaluator",
        format!("{used:.2} s over {commits} transactions, {:.0} ms each", used * 1e3 / commits),
    );
    row("its threads", threads(&evaluator));
    let partials = size(&fleet.topic("partials"));
    row("partials", format!("{}, {} messages", mb(partials.bytes), partials.messages));
    let (rss, most) = evaluator.memory();
    row("memory of the evaluator", format!("{}, at most {}", mb(rss), mb(most)));
    row(
        "memory of the observer",
        format!("{}, at most {}", mb(observer.memory().0), mb(observer.memory().1)),
    );
    if let Some(all) = evaluator.metric("plimsoll_model_state_bytes") {
        row("plimsoll_model_state_bytes, mean", format!("{:.0}", all / many.names.len() as f64));
    }
    if let Some(all) = evaluator.metric("plimsoll_state_bytes") {
        row("plimsoll_state_bytes, for each model", format!("{:.0}", all / many.names.len() as f64));
    }
    let state = size(&fleet.topic("state"));
    row(
        "state topic, not compacted yet",
        format!(
            "{}, {} messages, {} on disk",
            mb(state.bytes),
            state.messages,
            mb(broker::disk(&fleet.topic("state")))
        ),
    );
    let findings = size(&fleet.topic("findings"));
    row("findings", format!("{}, {}", findings.messages, mb(findings.bytes)));

    // At rest: nothing comes but Progress.
    let (rest, before) = (Instant::now(), evaluator.cpu());
    std::thread::sleep(Duration::from_secs(20));
    row(
        "CPU of the evaluator at rest",
        format!("{:.1} % of a processor", 100.0 * (evaluator.cpu() - before) / rest.elapsed().as_secs_f64()),
    );
    let (asked, before) = (Instant::now(), evaluator.cpu());
    let page = evaluator.get("/metrics").unwrap();
    row(
        "a page of /metrics",
        format!(
            "{}, {} lines, {:.2} s, {:.2} s of CPU",
            mb(page.len() as u64),
            page.lines().count(),
            asked.elapsed().as_secs_f64(),
            evaluator.cpu() - before
        ),
    );

    // Half of the models stop sending; the others go on far enough to outlast what is kept of a silent one.
    let all = shown(&page);
    let staying = many.names.len() / 2;
    let silent = many.names.split_off(staying);
    let began = Instant::now();
    let mut panes = 0;
    let mut left = all;
    while began.elapsed() < Duration::from_secs(240) && panes < 30 {
        many.pane();
        panes += 1;
        many.settle(&mut [&mut evaluator]);
        std::thread::sleep(Duration::from_millis(500));
        left = shown(&evaluator.get("/metrics").unwrap());
        if left <= staying {
            break;
        }
    }
    row(
        "models on /metrics",
        format!("{all}; {left} after {} of them sent nothing for {panes} panes", silent.len()),
    );
    row("memory of the evaluator then", mb(evaluator.memory().0));
    observer.terminate();
    row("stopping the evaluator takes", format!("{:.2} s", evaluator.terminate().as_secs_f64()));
    let title = format!(
        "Many models: {} of {FEATURES} numeric features with a profile, PSI and null rate every 5 minutes, {EXCHANGE} partitions \
         of the exchange, commit interval 1 s, one observer and one evaluator; {}",
        many.names.len() + silent.len(),
        build()
    );
    table(&title, ["what", "measured"], &rows);
    many.ground.done();
}

/// Models of which /metrics says something.
fn shown(page: &str) -> usize {
    page.lines().filter(|line| line.starts_with("plimsoll_model_records_total{")).count()
}

fn threads(instance: &Instance) -> String {
    let mut all: Vec<(String, f64)> =
        instance.threads().into_iter().filter(|(_, cpu)| *cpu >= 0.05).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.iter().map(|(name, cpu)| format!("{name} {cpu:.2} s")).collect::<Vec<_>>().join(", ")
}

/// How long an instance takes that is killed and started again at once, in seconds from its start.
struct Recovery {
    /// The group has given it its partitions.
    assigned: f64,
    /// The condition of its role is met.
    ready: f64,
    /// Everything that was written up to then is evaluated, or read.
    caught_up: f64,
    /// Processor time until it was ready.
    cpu: f64,
}

/// Waits until a restarted instance is back. Meanwhile a pane of records is written.
fn recover(many: &mut Many, instance: &Instance, condition: &str, done: impl Fn(&Many) -> bool) -> Recovery {
    many.pane();
    let met = |said: &str| !said.is_empty() && !said.contains(&format!(r#""condition":"{condition}""#));
    wait_for("the instance to be ready", WITHIN, || met(&instance.readiness()));
    let (ready, cpu) = (instance.begun.elapsed(), instance.cpu());
    wait_for("all to be done", WITHIN, || done(many));
    let caught_up = instance.begun.elapsed().as_secs_f64();
    Recovery { assigned: assigned(&instance.log()), ready: ready.as_secs_f64(), caught_up, cpu }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/measure.sh recovery"]
fn real_recovery_from_a_kill_with_the_state_of_a_thousand_models() {
    let kills: usize = number("KILLS", 5);
    let mut many = Many::new("recovery");
    let fleet = many.fleet.clone();
    fleet.run(&["topics", "create"]);
    let mut evaluator = Instance::start(&fleet.config, "evaluator", "evaluate", 0);
    let mut observer = Instance::start(&fleet.config, "observer", "observe", 0);
    for _ in 0..PANES {
        many.pane();
    }
    many.settle(&mut [&mut evaluator, &mut observer]);
    let state = size(&fleet.topic("state"));
    let (mut evaluators, mut observers, mut restored) = (Vec::new(), Vec::new(), Vec::new());
    for life in 1..=kills {
        evaluator.kill();
        evaluator = Instance::start(&fleet.config, "evaluator", "evaluate", life);
        let ends = std::cell::OnceCell::new();
        let done = |many: &Many| {
            many.fleet.unread() == 0
                && many.fleet.evaluated(ends.get_or_init(|| many.fleet.ends_of_exchange()))
        };
        evaluators.push(recover(&mut many, &evaluator, "evaluate", done));
        restored.push(taken_up(&evaluator.log()));
    }
    for life in 1..=kills {
        observer.kill();
        observer = Instance::start(&fleet.config, "observer", "observe", life);
        observers.push(recover(&mut many, &observer, "observe", |many| many.fleet.unread() == 0));
    }
    observer.terminate();
    evaluator.terminate();
    let row = |what: &str, all: &[Recovery]| {
        let of = |get: fn(&Recovery) -> f64| {
            let (median, most) = spread(all.iter().map(get).collect());
            format!("{median:.1} s, {most:.1} s")
        };
        [what.to_owned(), of(|it| it.assigned), of(|it| it.ready), of(|it| it.caught_up), of(|it| it.cpu)]
    };
    let (median, most) = spread(restored.iter().map(|taken| taken.1 as f64 / 1e3).collect());
    let bytes = restored.iter().map(|taken| taken.0).max().unwrap_or_default();
    let title = format!(
        "Recovery: kill -9 and a start at once under the same name, {kills} times each (median, longest); {} models of \
         {FEATURES} features, session.timeout.ms 10000 (the default), {EXCHANGE} partitions of the exchange on the one evaluator; \
         the state topic held {} in {} messages before, and up to {} were read at a start, all partitions together in \
         {median:.1} s (median), {most:.1} s (longest); {}",
        many.names.len(),
        mb(state.bytes),
        state.messages,
        mb(bytes),
        build()
    );
    let head =
        ["killed", "HTTP up to partitions given", "start to ready", "start to caught up", "CPU until ready"];
    table(&title, head, &[row("evaluator", &evaluators), row("observer", &observers)]);
    many.ground.done();
}

/// Seconds from the start of a life until it took partitions, as its log tells.
fn assigned(log: &str) -> f64 {
    let time = |line: &str| {
        let time = line.split_whitespace().next()?;
        // The log tells microseconds, event times are of milliseconds.
        let time = format!("{}Z", time.get(..23)?);
        Some(time.parse::<plimsoll::domain::EventTime>().ok()?.as_millis())
    };
    let find = |words: &str| log.lines().find(|line| line.contains(words)).and_then(time);
    let (from, to) =
        (find("HTTP interface is listening"), find("reading partitions from their committed offsets"));
    from.zip(to).map_or(f64::NAN, |(from, to)| (to - from) as f64 / 1e3)
}

/// Bytes of all partitions that a log says were taken up, and milliseconds until the last of them was.
fn taken_up(log: &str) -> (u64, u64) {
    let field = |line: &str, name: &str| -> Option<u64> {
        let rest = line.split_once(&format!("{name}="))?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let lines = || log.lines().filter(|line| line.contains("partition of the exchange is taken up"));
    (
        lines().filter_map(|line| field(line, "bytes")).sum(),
        lines().filter_map(|line| field(line, "took_ms")).max().unwrap_or_default(),
    )
}
