//! The logs that are read, with everything awkward in them, and the model that they are about.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plimsoll::domain::EventTime;
use plimsoll::engine::ModelSpec;
use plimsoll::record::Cell;
use serde_json::{Value, json};

use crate::checks::world::World;
use crate::support::Stream;

/// First event time, and the wall time of the first second.
pub(super) const START: i64 = 1_799_999_400_000;
/// Seconds in which records are written.
pub(super) const SECONDS: usize = 120;
/// Partitions; of the last two, one sleeps for a while and one never has a record.
pub(super) const PARTITIONS: usize = 10;
pub(super) const SLEEPER: usize = 8;
pub(super) const EMPTY: usize = 9;
pub(super) const SLEEPS: std::ops::Range<usize> = 25..80;
/// Nobody writes anything.
pub(super) const GAP: std::ops::Range<usize> = 58..62;
/// The second version serves from here on, unfairly from later on.
pub(super) const ROLLOUT: usize = 35;
pub(super) const UNFAIR: usize = 60;
/// A feature moves, and later loses its values.
pub(super) const DRIFT: usize = 70;
pub(super) const NULLS: usize = 95;
/// Records that a partition gets in a second.
pub(super) const RATE: usize = 12;
pub(super) const LATENESS: Duration = Duration::from_secs(2);
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(20);
pub(super) const CONFIG: &str = r#"
false_alarm_budget: {count: 1, per: 1d}
topics:
  - {name: t, model: /m, allowed_lateness: 2s, idle_after: 20s}
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features:
      - {name: x, from: /x, type: numeric}
      - {name: y, from: /y, type: numeric}
    groups:
      - {name: sex, from: /sex, values: [F, M]}
    segments:
      - {name: channel, from: /channel, values: [web]}
    profile: given
    pane: 1s
    checks:
      - {name: nulls, metric: null_rate, of: [x], window: 5s, slide: 1s, tolerance: 0.02, direction: above, segments: true}
      - {name: drift, metric: psi, of: features, window: 5s, slide: 5s, tolerance: 0.01}
      - {name: ratio, metric: selection_rate_ratio, window: 10s, slide: 5s, bound: ">= 0.8"}
      - {name: rate, metric: selection_rate, window: 5s, slide: 1s, tolerance: 0.02}
policies:
  - {name: complete, model: credit, checks: [nulls], decide: sequential, clear: {windows: 2}}
  - {name: steady, model: credit, checks: [drift], decide: sequential}
  - {name: fair, model: credit, checks: [ratio], decide: sequential, clear: {windows: 2}}
  - {name: level, model: credit, checks: [rate], decide: sequential}
"#;

impl Stream {
    pub(super) fn below(&mut self, most: usize) -> usize {
        (self.uniform() * most as f64) as usize
    }
}

/// What a record says, apart from its time.
pub(super) struct Row {
    pub(super) version: &'static str,
    x: Option<f64>,
    y: f64,
    answer: &'static str,
    sex: &'static str,
    channel: &'static str,
}

impl Row {
    /// A row as the reference has them, with these faults.
    fn draw(stream: &mut Stream, version: &'static str, women: f64, shift: f64, nulls: f64) -> Self {
        let sex = if stream.uniform() < 0.5 { "F" } else { "M" };
        let approved = stream.uniform() < if sex == "F" { women } else { 0.5 };
        Self {
            version,
            x: (stream.uniform() >= nulls).then(|| stream.uniform() + shift),
            y: stream.uniform(),
            answer: if approved { "yes" } else { "no" },
            sex,
            channel: if stream.uniform() < 0.7 { "web" } else { "branch" },
        }
    }

    fn json(&self) -> Value {
        json!({"m": "credit", "v": self.version, "ts": START, "x": self.x, "y": self.y, "p": self.answer,
               "sex": self.sex, "channel": self.channel})
    }

    pub(super) fn cells<'a>(&'a self, spec: &'a ModelSpec) -> impl Iterator<Item = Cell<'a>> {
        spec.schema.columns().iter().map(|column| match &*column.name {
            "x" => self.x.map_or(Cell::Null, Cell::Number),
            "y" => Cell::Number(self.y),
            "prediction" => Cell::Name(self.answer),
            "sex" => Cell::Name(self.sex),
            "channel" => Cell::Name(self.channel),
            other => panic!("a column that no row has: {other}"),
        })
    }
}

/// A record: the second in which it was written, its event time, its row.
pub(super) type Record = (usize, EventTime, Row);

/// The logs of all partitions.
pub(super) fn written(seed: u64) -> Vec<Vec<Record>> {
    let mut stream = Stream(seed);
    let mut logs: Vec<Vec<Record>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    for second in (0..SECONDS).filter(|second| !GAP.contains(second)) {
        for (partition, log) in logs.iter_mut().enumerate() {
            if partition == EMPTY || (partition == SLEEPER && SLEEPS.contains(&second)) {
                continue;
            }
            for index in 0..RATE {
                let version = if second >= ROLLOUT && stream.uniform() < 0.4 { "v2" } else { "v1" };
                let women = if version == "v2" && second >= UNFAIR { 0.15 } else { 0.5 };
                let shift = if second >= DRIFT { 0.3 } else { 0.0 };
                let nulls = if second >= NULLS { 0.25 } else { 0.02 };
                let row = Row::draw(&mut stream, version, women, shift, nulls);
                // Up to a second and a half out of order is in time; six seconds are not.
                let behind = if stream.uniform() < 0.01 { 6_000 } else { stream.below(1_500) as i64 };
                let mut time = (second * 1_000 + index * 1_000 / RATE) as i64 - behind;
                if partition == SLEEPER && second == SLEEPS.end && index < 3 {
                    // It wakes with rows from while it slept, of seconds that have closed without it.
                    time = ((SLEEPS.start + 6) * 1_000 + index * 300) as i64;
                }
                log.push((second, EventTime::from_millis(START + time), row));
            }
        }
    }
    logs
}

pub(super) fn model() -> &'static Arc<ModelSpec> {
    static MODEL: OnceLock<Arc<ModelSpec>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let mut stream = Stream(11);
        let reference: Vec<Value> =
            (0..10_000).map(|_| Row::draw(&mut stream, "v1", 0.5, 0.0, 0.02).json()).collect();
        World::new(CONFIG, &reference).spec
    })
}
