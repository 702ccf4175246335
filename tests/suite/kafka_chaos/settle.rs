//! Waits until a fleet has nothing left to do.

use std::time::{Duration, Instant};

use super::setting::{Fleet, Setting};
use super::told::{behind, ends, findings};
use super::traffic::{EMPTY, MODELS, Shape, Tally};

/// Nothing new in any topic for so long means that nothing comes: an instance that has just come back
/// needs its group to form, and a partition without records to be taken for idle.
const QUIET: Duration = Duration::from_secs(8);
/// Between two lines that say what is waited for.
const SAY: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(500);

struct Patience<'a> {
    start: Instant,
    said: Instant,
    within: Duration,
    step: &'a mut dyn FnMut(),
}

impl Patience<'_> {
    fn wait(&mut self, why: &str) {
        (self.step)();
        assert!(self.start.elapsed() < self.within, "waited {:?} in vain: {why}", self.within);
        if self.said.elapsed() > SAY {
            self.said = Instant::now();
            eprintln!("chaos: {:.0} s after the last record: {why}", self.start.elapsed().as_secs_f64());
        }
        std::thread::sleep(TICK);
    }

    /// Until `group` has read what `topic` holds now.
    fn read(&mut self, setting: &Setting, group: &str, topic: &str) {
        let ends = ends(setting, topic);
        assert!(!ends.is_empty(), "there is no topic {topic}");
        while let Some(why) = behind(setting, group, topic, &ends) {
            self.wait(&why);
        }
    }
}

/// Waits until the fleet has read everything there is, has answered for every window of `shape`, and
/// says nothing new. `step` is done while waiting. Returns how long it took.
pub(super) fn settle(
    setting: &Setting,
    fleet: &Fleet,
    (shape, tally): (&Shape, &Tally),
    within: Duration,
    step: &mut dyn FnMut(),
) -> Duration {
    let start = Instant::now();
    let mut patience = Patience { start, said: start, within, step };
    let written: Vec<i64> = ends(setting, &setting.topic);
    assert_eq!(written, tally.ends, "the input holds each record once");
    assert_eq!(written[EMPTY as usize], 0);
    let topics = ["findings", "decisions", "audit", "dead-letter"].map(|name| fleet.topic(name));
    let mut last: (Instant, Vec<Vec<i64>>) = (start, Vec::new());
    loop {
        patience.read(setting, &fleet.group, &setting.topic);
        patience.read(setting, &format!("{}.evaluate", fleet.group), &fleet.topic("partials"));
        patience.read(setting, &format!("{}.act", fleet.group), &fleet.topic("decisions"));
        let now: Vec<Vec<i64>> = topics.iter().map(|topic| ends(setting, topic)).collect();
        if now != last.1 {
            last = (Instant::now(), now);
        } else if last.0.elapsed() >= QUIET {
            let answered = findings(setting, fleet).into_values();
            let answered = answered.filter(|all| all.iter().any(|one| one.end >= shape.end())).count();
            if answered >= MODELS {
                return start.elapsed();
            }
            last.0 = Instant::now();
            patience.wait(&format!("only {answered} models have been answered for to the end"));
        }
        patience.wait("whether anything new is told");
    }
}
