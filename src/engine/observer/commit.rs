//! An observer's commits: what was counted since the last one goes out, and comes back if the commit
//! is not made.

use super::super::message::{Offsets, PaneDelta, ResumePoint, SourceProgress};
use super::{Counted, Observer};
use crate::domain::SourcePartition;

/// One commit's worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flushed {
    /// Counts, by source partition, key and pane.
    pub deltas: Vec<PaneDelta>,
    /// How far each partition has come, ordered.
    pub sources: Vec<SourceProgress>,
    /// Offsets to commit with them, and what to store beside each. A partition of which no offset is
    /// known is left out: a made-up one would be read from at the next start.
    pub resume: Vec<(SourcePartition, i64, ResumePoint)>,
}

impl Counted {
    /// Takes `later` in, which was counted after this.
    fn join(&mut self, later: Self) {
        for (place, summary) in later.panes {
            match self.panes.entry(place) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(summary);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&summary),
            }
        }
        self.accounting += later.accounting;
        for (reason, count) in later.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
    }
}

impl Observer {
    /// Hands out what was counted since the last commit, and how far each partition has come. `now`
    /// is wall time in milliseconds; its only use is to tell a silent partition from a slow one.
    /// [`Observer::settle`] is to follow before the next call.
    pub fn flush(&mut self, now: i64) -> Flushed {
        let mut out = Flushed::default();
        for (partition, state) in &mut self.partitions {
            let silent = now.saturating_sub(state.active_at) >= state.idle_after.as_millis() as i64;
            state.idle = state.finished || (state.at_end && silent);
            let offsets = state.from.zip(state.position).map(|(from, to)| Offsets { from, to });
            let counted = std::mem::take(&mut state.counted);
            for ((key, layout, pane), summary) in &counted.panes {
                out.deltas.push(PaneDelta {
                    source: partition.clone(),
                    offsets: offsets.unwrap_or_default(),
                    key: key.clone(),
                    layout: *layout,
                    pane: *pane,
                    summary: summary.clone(),
                });
            }
            out.sources.push(SourceProgress {
                source: partition.clone(),
                offsets,
                watermark: state.clock.watermark(),
                idle: state.idle,
                finished: state.finished,
                counted: counted.accounting,
                rejected: counted.rejected.clone(),
            });
            if let Some(position) = state.position {
                let point = ResumePoint {
                    v: ResumePoint::VERSION,
                    watermark: state.clock.watermark(),
                    active_at: state.active_at,
                };
                out.resume.push((partition.clone(), position, point));
            }
            state.sent = Some((counted, state.position));
        }
        out
    }

    /// Says what became of the commit: made, or not. In the second case everything is part of the
    /// next one. Partitions that were taken away meanwhile are nobody's business here.
    pub fn settle(&mut self, committed: bool) {
        for (_, state) in &mut self.partitions {
            let Some((mut sent, to)) = state.sent.take() else { continue };
            if committed {
                state.from = to.or(state.from);
            } else {
                sent.join(std::mem::take(&mut state.counted));
                state.counted = sent;
            }
        }
    }

    /// Counts that are held and not yet committed, as panes.
    pub fn held(&self) -> usize {
        let panes = |counted: &Counted| counted.panes.len();
        let held = |(_, state): &(SourcePartition, super::Partition)| {
            panes(&state.counted) + state.sent.as_ref().map_or(0, |(sent, _)| panes(sent))
        };
        self.partitions.iter().map(held).sum()
    }
}
