//! An evaluator that is made of its records: at any message it goes on as the one that wrote them, and
//! under another configuration it takes up what still fits.

use plimsoll::domain::{Decision, DecisionKind, Finding};
use plimsoll::engine::evaluator::{Change, Evaluated, Evaluator, Record, StateKey};
use plimsoll::engine::{Message, wire};

use super::log::{CONFIG, Known, Line, PARTITIONS, SECONDS, START, Setup};
use super::store::{Store, encoded};

fn only_marks(changes: &[Change]) -> bool {
    matches!(changes, [Change { key: StateKey::Marks, record: Some(Record::Marks(_)) }])
}

#[test]
fn an_evaluator_restored_at_every_message_says_what_the_undisturbed_one_says() {
    let (known, models) = (Known::of(0), &Setup::plain().models);
    let mut undisturbed = Evaluator::new(models.iter().cloned());
    let (mut evaluator, mut store) = (Evaluator::new(models.iter().cloned()), Store::default());
    let mut whole = Store::default();
    let mut said = 0;
    for (index, message) in known.commits.iter().flatten().enumerate() {
        let position = index as i64;
        store.write(encoded(&evaluator.changes(position)));
        let (restored, from) = store.restore(models);
        assert_eq!(from, Some(position));
        evaluator = restored;
        assert!(only_marks(&evaluator.changes(position)), "at message {index}");
        let expected = undisturbed.take(message.clone());
        assert_eq!(evaluator.take(message.clone()), expected, "at message {index}");
        said += expected.findings.len() + expected.decisions.len();
    }
    assert!(said > 100, "{said}");
    // All that was ever put away is what is known in the end, and no more.
    store.write(encoded(&evaluator.changes(0)));
    whole.write(encoded(&undisturbed.changes(0)));
    assert_eq!(store.records(), whole.records());
    let panes = store.records().iter().filter(|(key, _)| matches!(key, StateKey::Pane(..))).count();
    assert!(panes < 250, "panes that no window covers any more are gone: {panes}");
}

/// The first part of a log under `CONFIG`, put away, and the rest under another configuration.
struct Changed {
    store: Store,
    next: [usize; PARTITIONS],
    position: i64,
    /// What was said before.
    before: Evaluated,
}

/// Where the configuration changes: incidents are open.
const CHANGE: usize = 29;

impl Changed {
    fn new(known: &'static Known) -> Self {
        let setup = Setup::plain();
        let mut line = Line::new(setup, &known.log, [0; PARTITIONS], START);
        let mut evaluator = Evaluator::new(setup.models.iter().cloned());
        let (mut before, mut position) = (Evaluated::default(), 0);
        for second in 0..CHANGE {
            for message in line.second(second) {
                before.join(evaluator.take(message));
                position += 1;
            }
            line.now += 1_000;
        }
        assert_eq!(before.faults, []);
        let mut store = Store::default();
        store.write(encoded(&evaluator.changes(position)));
        Self { store, next: line.next, position, before }
    }

    fn restored(&self, setup: &Setup) -> Evaluator {
        let (evaluator, position) = self.store.restore(&setup.models);
        assert_eq!(position, Some(self.position));
        evaluator
    }

    /// What is said of the rest of the log.
    fn after(&self, known: &'static Known, setup: &Setup) -> Evaluated {
        let mut evaluator = self.restored(setup);
        let mut after = Evaluated::default();
        self.rest(known, setup).into_iter().for_each(|message| after.join(evaluator.take(message)));
        assert_eq!(after.faults, []);
        after
    }

    fn rest(&self, known: &'static Known, setup: &Setup) -> Vec<Message> {
        let mut line = Line::new(setup, &known.log, self.next, START + CHANGE as i64 * 1_000);
        let mut messages = Vec::new();
        for second in CHANGE..SECONDS {
            messages.extend(line.second(second));
            line.now += 1_000;
        }
        messages
    }

    /// Open incidents, by what is said of them.
    fn open(&self) -> Vec<&Decision> {
        let mut open: Vec<&Decision> = Vec::new();
        for decision in &self.before.decisions {
            let same = |it: &&Decision| it.policy == decision.policy && it.key == decision.key;
            match decision.kind {
                DecisionKind::Violated => open.push(decision),
                DecisionKind::Cleared | DecisionKind::Withdrawn => open.retain(|it| !same(it)),
                _ => {}
            }
        }
        open
    }
}

fn withdrawn(decisions: &[Decision]) -> Vec<&Decision> {
    decisions.iter().filter(|it| it.kind == DecisionKind::Withdrawn).collect()
}

/// The configuration without `credit` and its policy.
fn without_credit() -> String {
    let (before, rest) = CONFIG.split_once("  - name: credit").unwrap();
    let (_, after) = rest.split_once("  - name: cards").unwrap();
    let whole = format!("{before}  - name: cards{after}");
    whole.lines().filter(|line| !line.contains("name: fair")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_open_incident_of_a_policy_or_model_that_is_gone_is_withdrawn_once() {
    let fair = |changed: &Changed| -> Vec<Decision> {
        changed.open().into_iter().filter(|it| it.policy == "fair").cloned().collect()
    };
    let mut all = (0..Known::LOGS).map(Known::of).map(|known| (known, Changed::new(known)));
    let (known, mut changed) = all.find(|(_, it)| fair(it).len() == 1).expect("a log with an open incident");
    let open = fair(&changed);
    let no_policy: String =
        CONFIG.lines().filter(|line| !line.contains("name: fair")).map(|line| format!("{line}\n")).collect();
    for text in [no_policy, without_credit()] {
        let setup = Setup::new(&text);
        let after = changed.after(known, &setup);
        let ends = withdrawn(&after.decisions);
        let mine: Vec<_> = ends.iter().filter(|it| it.policy == "fair").collect();
        assert_eq!(mine.len(), 1, "{:?}", after.decisions);
        assert_eq!((mine[0].since, &mine[0].key), (open[0].since, &open[0].key));

        // Commits before it could be said do not forget it, and commits after it do not repeat it.
        let before = changed.store.clone();
        let mut evaluator = changed.restored(&setup);
        changed.store.write(encoded(&evaluator.changes(changed.position)));
        let mut evaluator = changed.restored(&setup);
        let mut said = Vec::new();
        let messages = changed.rest(known, &setup);
        let mut store = changed.store.clone();
        for (index, message) in messages.into_iter().enumerate() {
            said.extend(evaluator.take(message).decisions);
            store.write(encoded(&evaluator.changes(index as i64)));
            evaluator = store.restore(&setup.models).0;
        }
        assert_eq!(withdrawn(&said).iter().filter(|it| it.policy == "fair").count(), 1);
        assert_eq!(said, after.decisions);
        // Nothing is left of what is not configured any more.
        let credit = |(key, _): &(StateKey, Record)| match key {
            StateKey::Key(key) | StateKey::Pane(key, _) => key.model.as_str() == "credit",
            StateKey::Starts(model, _) => model.as_str() == "credit",
            StateKey::Marks => false,
        };
        let left = store.records().into_iter().filter(credit).count();
        assert_eq!(left > 0, setup.models.iter().any(|model| model.id.as_str() == "credit"), "{left}");
        changed.store = before;
    }
}

/// Panes that the detector of a check has stepped on, when it was asked last.
fn panes(findings: &[std::sync::Arc<Finding>], check: &str) -> (u64, u64) {
    let mine = |it: &&std::sync::Arc<Finding>| {
        it.model.as_str() == "loans" && it.version.as_str() == "v1" && it.check == check
    };
    let sequential = findings.iter().rfind(mine).unwrap().sequential.clone().unwrap();
    (sequential.panes, sequential.groups.iter().map(|group| group.n).sum())
}

#[test]
fn a_check_that_was_changed_begins_anew_and_the_others_go_on() {
    let known = Known::of(0);
    let changed = Changed::new(known);
    let text = CONFIG
        .replace("window: 5s, slide: 5s, bound: \">= 0.8\"", "window: 5s, slide: 5s, bound: \">= 0.75\"");
    assert_ne!(text, CONFIG);
    let same = changed.after(known, Setup::plain());
    let after = changed.after(known, &Setup::new(&text));
    assert!(panes(&after.findings, "ratio").1 < panes(&same.findings, "ratio").1);
    assert!(panes(&after.findings, "ratio").1 > 0);
    let evidence = |evaluated: &Evaluated| -> Vec<_> {
        let nulls =
            evaluated.findings.iter().filter(|it| it.model.as_str() == "loans" && it.check == "nulls");
        nulls.map(|it| (it.window, it.sequential.clone().map(|it| (it.log_e, it.panes)))).collect()
    };
    assert!(!evidence(&same).is_empty());
    assert_eq!(evidence(&after), evidence(&same));
    // Incidents that are open stay open, and are ended by what their policies see.
    let complete = |decisions: &[Decision]| -> Vec<Decision> {
        decisions.iter().filter(|it| it.policy == "complete").cloned().collect()
    };
    assert!(changed.open().iter().any(|it| it.policy == "complete"));
    assert_eq!(complete(&after.decisions).len(), complete(&same.decisions).len());
    assert_eq!(withdrawn(&after.decisions), Vec::<&Decision>::new());
}

#[test]
fn panes_of_another_width_are_not_taken_for_those_that_are_counted_now() {
    let known = Known::of(0);
    let changed = Changed::new(known);
    let (loans, rest) = CONFIG.split_once("  - name: credit").unwrap();
    let text = format!(
        "{}  - name: credit{rest}",
        loans.replace("pane: 1s", "pane: 5s").replace("slide: 1s", "slide: 5s")
    );
    let setup = Setup::new(&text);
    let evaluator = changed.restored(&setup);
    let id = &setup.models.iter().find(|model| model.id.as_str() == "loans").unwrap().id;
    let kept: u64 = evaluator.keys().filter(|it| it.key.model == *id).map(|it| it.rows).sum();
    let (before, after) = (changed.restored(Setup::plain()), changed.after(known, &setup));
    let all: u64 = before.keys().filter(|it| it.key.model == *id).map(|it| it.rows).sum();
    assert!(kept < all, "rows of panes that were dropped are not counted as held: {kept} of {all}");
    // Detectors go on with the panes that are counted now, wherever the old ones ended.
    let rows = |findings: &[std::sync::Arc<Finding>]| panes(findings, "ratio").1;
    assert!(rows(&after.findings) > rows(&changed.before.findings), "{}", rows(&after.findings));
    // And what the old width had counted under the new configuration's name is refused.
    let old = changed.rest(known, Setup::plain());
    let delta = old.iter().find(|it| matches!(it, Message::Delta(delta) if delta.key.model == *id)).unwrap();
    let mut evaluator = changed.restored(&setup);
    assert_eq!(evaluator.take(wire::decode(&wire::encode(delta)).unwrap()).faults.len(), 1);
}
