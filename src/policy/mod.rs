//! Rules over findings and the incident state machine: findings → decisions.
