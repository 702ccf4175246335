//! Is there any traffic, and how much?

use super::spec::{Answer, Asked};
use crate::domain::Scope;

/// Rows in the window. It carries no interval: a count has no sampling error.
pub(super) fn answers(asked: &Asked<'_>) -> Vec<Answer> {
    let rows = asked.summary.rows;
    let mut answer = Answer::value(Scope::Model {}, rows, Some(rows as f64), None);
    if asked.elsewhere {
        answer.reason = Some("another version of the model serves".to_owned());
    }
    vec![answer]
}
