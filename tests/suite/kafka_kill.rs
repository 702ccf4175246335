//! Nothing is done twice although the daemon is killed: the real binary acts on decisions that are in its
//! topic on Apache Kafka, at servers that count what they do, and is ended at every request that it makes
//! (before the server takes it, after that and before the reply, after the reply), at moments of a seeded
//! choice, and by being asked to. It is started again until each action has ended.
//! tests/kafka/run.sh starts the broker and sets the variables that are read here.
//!
//! `PLIMSOLL_KILL_SEED` repeats the choice of moments, `PLIMSOLL_KILL_RANDOM` says how many stories have such
//! moments, and `PLIMSOLL_KILL_LANES` how many daemons run side by side.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod audit;
mod daemon;
mod judge;
mod lanes;
mod server;
mod setting;
mod story;
mod worlds;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use judge::Tally;
use lanes::play_all;
use server::{Point, Trap, Which};
use story::{End, Interruption, Story};
use worlds::Site;

/// How long a story may take. The machine may be busy, and looking for what cannot be found takes 30 s.
const PATIENCE: Duration = Duration::from_secs(240);

/// An environment variable that the script sets.
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/kafka/run.sh"))
}

/// A number that a person may set.
fn number<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(format!("PLIMSOLL_KILL_{name}")) else { return default };
    text.parse().unwrap_or_else(|_| panic!("PLIMSOLL_KILL_{name} is no number: {text}"))
}

/// What an undisturbed daemon asks each server, in order.
fn undisturbed() -> BTreeMap<Site, Vec<String>> {
    let told = Story::new("undisturbed".to_owned(), &Site::ALL, vec![]).play().unwrap();
    let tally = judge::judge(&told).unwrap();
    assert_eq!((tally.effects(), tally.applied, tally.verified), (4, 4, 2), "{tally:?}");
    let mut asked: BTreeMap<Site, Vec<String>> = BTreeMap::new();
    for (site, what) in told.requests {
        asked.entry(site).or_default().push(what);
    }
    println!("kill| undisturbed: {asked:?}");
    for site in Site::ALL {
        assert!(asked[&site].iter().any(|what| what == site.effect()), "{site:?}: {asked:?}");
    }
    asked
}

/// A story for each request and each point of it.
fn at_every_point(asked: &BTreeMap<Site, Vec<String>>, points: &[Point], end: End) -> Vec<Story> {
    let mut stories = Vec::new();
    for (site, requests) in asked {
        for (index, what) in requests.iter().enumerate() {
            for point in points {
                // Only what changes something can change it late.
                if *point == Point::Late && what != site.effect() {
                    continue;
                }
                let trap = Trap { which: Which::Of(*site, index), point: *point, end, wait: Duration::ZERO };
                let name = format!("{end:?} {point:?} {site:?} {index} {what}");
                stories.push(Story::new(name, &Site::ALL, vec![Interruption::At(trap)]));
            }
        }
    }
    stories
}

fn report(title: &str, stories: usize, tally: &Tally, began: Instant) {
    println!("kill| {title}: {stories} stories in {:.0} s, {tally}", began.elapsed().as_secs_f64());
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_a_kill_at_any_request_leaves_one_effect_at_most() {
    let began = Instant::now();
    let asked = undisturbed();
    let points = [Point::Before, Point::Taken, Point::Answered, Point::Late];
    let mut stories = at_every_point(&asked, &points, End::Kill);
    let disturbed = stories.len();
    // While the daemon is away somebody else moves the alias: that is theirs, and stays.
    let points = [Point::Before, Point::Taken, Point::Answered];
    let registry = BTreeMap::from([(Site::Mlflow, asked[&Site::Mlflow].clone())]);
    for mut story in at_every_point(&registry, &points, End::Kill) {
        story.name = format!("{} and a person", story.name);
        (story.sites, story.person) = (vec![Site::Mlflow], true);
        stories.push(story);
    }
    let count = stories.len();
    let tally = play_all(stories);
    report("killed at every request", count, &tally, began);
    assert!(tally.failures.is_empty(), "{} of {count}: {:#?}", tally.failures.len(), tally.failures);
    assert!(disturbed >= 48 && tally.kills >= count, "{tally}");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_being_asked_to_stop_at_any_request_leaves_one_effect_at_most() {
    let began = Instant::now();
    let points = [Point::Before, Point::Taken, Point::Answered];
    let stories = at_every_point(&undisturbed(), &points, End::Terminate);
    let count = stories.len();
    let tally = play_all(stories);
    report("stopped at every request", count, &tally, began);
    assert!(tally.failures.is_empty(), "{} of {count}: {:#?}", tally.failures.len(), tally.failures);
    assert!(tally.stops >= count, "{tally}");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_kills_at_random_moments_leave_one_effect_at_most() {
    let began = Instant::now();
    let seed: u64 = number("SEED", u64::from(std::process::id()));
    let count: usize = number("RANDOM", 40);
    println!("kill| PLIMSOLL_KILL_SEED={seed} PLIMSOLL_KILL_RANDOM={count}");
    let stories: Vec<Story> = (0..count).map(|number| Story::random(seed, number)).collect();
    let tally = play_all(stories);
    report(&format!("killed at random, seed {seed}"), count, &tally, began);
    assert!(tally.failures.is_empty(), "{} of {count}: {:#?}", tally.failures.len(), tally.failures);
    assert!(tally.kills > count, "{tally}");
}
