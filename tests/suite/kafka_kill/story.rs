//! One story: decisions are in their topic, a daemon acts on them and is ended, the next goes on, until
//! each action has ended and the log of each model that was rolled back was seen to be well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::domain::EventTime;
use serde_json::Value;

use super::PATIENCE;
use super::audit::Audit;
use super::daemon::Daemon;
use super::server::{Point, Server, Trap, Which};
use super::setting::Setting;
use super::worlds::{Site, Worlds};

/// A request of which nothing was seen for so long after everything had ended will not be made.
const UNREACHED: Duration = Duration::from_secs(5);
/// What a daemon does that it should not, it does within this after it has taken up the log; and what one
/// that was killed had sent is taken within this. A registry without compare-and-set cannot tell a write
/// that was on its way from one that comes too late.
const QUIET: Duration = Duration::from_millis(400);
/// One read of the audit log.
const TICK: Duration = Duration::from_millis(20);

/// How a daemon is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As `kill -9` does.
    Kill,
    /// It is asked to.
    Terminate,
}

/// When a daemon is ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interruption {
    /// At a request.
    At(Trap),
    /// It is killed so long after it was started.
    After(Duration),
}

/// What is to be played.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) name: String,
    /// The actions.
    pub(super) sites: Vec<Site>,
    /// How each life but the last ends.
    pub(super) interruptions: Vec<Interruption>,
    /// Whether somebody moves the alias while the daemon is away.
    pub(super) person: bool,
    /// Whether a request may be made that the story waits for in vain.
    lenient: bool,
}

/// What has happened.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) sites: Vec<Site>,
    pub(super) person: bool,
    /// What is committed in the audit log.
    pub(super) audit: Vec<Value>,
    pub(super) worlds: Worlds,
    /// What was asked, in order.
    pub(super) requests: Vec<(Site, String)>,
    /// Daemons that were killed, and that were asked to stop before the end.
    pub(super) kills: usize,
    pub(super) stops: usize,
    /// Whether a request was taken after its daemon was gone.
    pub(super) late: bool,
}

/// Numbers of a seed: Steele, Lea and Flood's SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

impl Story {
    pub(super) fn new(name: String, sites: &[Site], interruptions: Vec<Interruption>) -> Self {
        Self { name, sites: sites.to_vec(), interruptions, person: false, lenient: false }
    }

    /// The story number `number` of a seed: one to three kills, each after a time or a little after the
    /// reply to a request, when what it said is being written down.
    pub(super) fn random(seed: u64, number: usize) -> Self {
        let mut numbers = Numbers(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let mut one = || {
            if numbers.below(3) == 0 {
                return Interruption::After(Duration::from_millis(numbers.below(6_000)));
            }
            let which = Which::Any(numbers.below(16) as usize);
            let wait = Duration::from_micros(numbers.below(40_000));
            Interruption::At(Trap { which, point: Point::Answered, end: End::Kill, wait })
        };
        let interruptions: Vec<Interruption> = (0..1 + number % 3).map(|_| one()).collect();
        let name = format!("random {seed} {number} {interruptions:?}");
        Self { lenient: true, ..Self::new(name, &Site::ALL, interruptions) }
    }

    /// Plays it to its end; what went wrong is told with the folder where the logs are.
    pub(super) fn play(&self) -> Result<Told, String> {
        let server = Server::start();
        let setting = Setting::new(&self.sites, &server);
        let folder = setting.folder();
        let told =
            Play { story: self, audit: setting.audit(), setting, server, recovering: Vec::new() }.play();
        match &told {
            Ok(_) => std::fs::remove_dir_all(&folder).unwrap(),
            Err(why) => eprintln!("kill| {}: {why}; see {}", self.name, folder.display()),
        }
        told.map_err(|why| format!("{}: {why}", self.name))
    }
}

/// A story that is being played.
struct Play<'a> {
    story: &'a Story,
    server: Server,
    setting: Setting,
    audit: Audit,
    /// Rollbacks of which the log has shown that they helped.
    recovering: Vec<Site>,
}

/// How a life has ended.
enum Ended {
    Killed,
    Stopped,
    /// Its trap was for a request that it has not made.
    Unreached,
    /// All that was to be done was done.
    Settled,
}

impl Play<'_> {
    fn play(mut self) -> Result<Told, String> {
        let start = Instant::now();
        let (mut kills, mut stops) = (0, 0);
        let lives = self.story.interruptions.iter().map(Some).chain([None]);
        for (life, interruption) in lives.enumerate() {
            if life > 0 {
                if self.story.person {
                    std::thread::sleep(QUIET);
                    self.server.promote();
                }
                self.setting.decide();
            }
            match self.live(life, interruption, start)? {
                Ended::Killed => kills += 1,
                Ended::Stopped => stops += 1,
                Ended::Unreached if !self.story.lenient => {
                    return Err("the request that was waited for was never made".to_owned());
                }
                Ended::Unreached | Ended::Settled => {}
            }
        }
        self.audit.read(QUIET);
        let late =
            self.story.interruptions.iter().any(
                |interruption| matches!(interruption, Interruption::At(trap) if trap.point == Point::Late),
            );
        let Self { story, server, audit, .. } = self;
        let (worlds, requests) = server.end();
        let audit = audit.entries;
        let (sites, person) = (story.sites.clone(), story.person);
        Ok(Told { sites, person, audit, worlds, requests, kills, stops, late })
    }

    /// One life, to its end.
    fn live(
        &mut self,
        life: usize,
        interruption: Option<&Interruption>,
        start: Instant,
    ) -> Result<Ended, String> {
        self.server.arm(match interruption {
            Some(Interruption::At(trap)) => Some(*trap),
            _ => None,
        });
        let before = self.audit.lives();
        let daemon = Arc::new(Daemon::start(&self.setting.config, life));
        self.server.is_for(&daemon);
        let (begun, mut settled) = (Instant::now(), None);
        loop {
            self.audit.read(TICK);
            if let Some(status) = daemon.ended() {
                if self.server.armed() {
                    return Err(format!("the daemon ended by itself with {status}: {}", daemon.log()));
                }
                return match interruption {
                    Some(Interruption::At(Trap { end: End::Kill, .. })) => Ok(Ended::Killed),
                    Some(Interruption::At(Trap { end: End::Terminate, .. })) if status.success() => {
                        Ok(Ended::Stopped)
                    }
                    _ => Err(format!("the daemon ended with {status}: {}", daemon.log())),
                };
            }
            if let Some(Interruption::After(time)) = interruption {
                if begun.elapsed() >= *time {
                    daemon.kill();
                    return Ok(Ended::Killed);
                }
                std::thread::sleep((*time - begun.elapsed().min(*time)).min(TICK));
                continue;
            }
            if start.elapsed() > PATIENCE {
                let state = format!("{:#?}", self.audit.entries);
                return Err(format!("not at its end after {PATIENCE:?}: {state}: {}", daemon.log()));
            }
            if !self.is_settled() || self.server.is_late() || self.audit.lives() == before {
                settled = None;
                continue;
            }
            let since = *settled.get_or_insert_with(Instant::now);
            match interruption {
                None if since.elapsed() >= QUIET => {
                    daemon.ask_to_stop();
                    let status = daemon.wait()?;
                    let stopped = status.success().then_some(Ended::Settled);
                    return stopped.ok_or_else(|| format!("stopped with {status}: {}", daemon.log()));
                }
                Some(_) if since.elapsed() >= UNREACHED && self.server.armed() => {
                    self.server.arm(None);
                    daemon.kill();
                    return Ok(Ended::Unreached);
                }
                Some(_) | None => {}
            }
        }
    }

    /// Whether each action has ended, and each rollback that was applied was seen to help. The log of a
    /// model says so once.
    fn is_settled(&mut self) -> bool {
        let actions = self.audit.actions();
        let mut settled = actions.len() == self.story.sites.len();
        for (name, id) in actions {
            let Some(ended) = self.audit.about("outcome", &id).first().map(|entry| entry["outcome"].clone())
            else {
                settled = false;
                continue;
            };
            let Some(since) = ended["since"].as_str().filter(|_| ended["state"] == "applied") else {
                continue;
            };
            let since: EventTime = since.parse().unwrap();
            let site = Site::named(&name).unwrap();
            if !self.recovering.contains(&site) {
                self.recovering.push(site);
                self.setting.recovers(site, since);
            }
            settled &= !self.audit.about("verified", &id).is_empty();
        }
        settled
    }
}
