//! Decisions that lay unread: what they ask for has to be done within its deadline from when they were taken.

use super::*;

fn calls(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Call(_))).count()
}

#[test]
fn a_decision_that_lay_unread_beyond_its_deadline_asks_for_nothing_any_more() {
    let deadline = i64::try_from(config().action("back").unwrap().deadline.as_millis()).unwrap();
    for (waited, wanted) in [(0, 1), (deadline - 1, 1), (deadline, 0), (deadline * 5, 0)] {
        let mut run = Run::new();
        run.at(0, qualified("fair", "v1"));
        let decision = decision(DecisionKind::Violated, "fair", "v2", &["back"]);
        let effects = run.at(1_000 + waited, Input::Decided { decision, at: 1_000, positions: Vec::new() });
        assert_eq!(calls(&effects), wanted, "read after {waited} ms of {deadline}");
    }
}
