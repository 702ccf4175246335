//! The picture of an instance, put together from what each role shows. Roles run beside each other and
//! each knows only its part; whoever looks sees them as one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::app::act::Shown;
use crate::app::clock::now_millis;
use crate::engine::view::View;
use crate::telemetry::Telemetry;

/// The parts of the picture. Clones share them.
#[derive(Clone, Debug)]
pub struct Board {
    telemetry: Telemetry,
    parts: Arc<Mutex<Parts>>,
    shown: Shown,
}

#[derive(Debug, Default)]
struct Parts {
    observed: View,
    evaluated: View,
}

impl Board {
    /// An empty board, whose picture goes to `telemetry`.
    pub fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, parts: Arc::default(), shown: Shown::default() }
    }

    /// What the observer shows: sources, accounting, rejections.
    pub fn observed(&self, view: View) {
        self.parts().observed = view;
    }

    /// What the evaluator shows: models, findings, decisions.
    pub fn evaluated(&self, view: View) {
        self.parts().evaluated = view;
    }

    /// This instance holds no partition of the exchange any more, whatever it showed before.
    pub fn released(&self) {
        self.parts().evaluated.exchange.clear();
    }

    /// Where the actor shows what became of actions.
    pub fn actions(&self) -> Shown {
        self.shown.clone()
    }

    /// Publishes the picture as it is now.
    pub fn publish(&self) {
        let shown = self.shown.look();
        let parts = self.parts();
        let View { sources, accounting, rejected, configuration, .. } = parts.observed.clone();
        // An evaluator knows when its windows change; an observer only what it was told.
        let judged = parts.evaluated.configuration.clone();
        let configuration = if judged.in_effect.is_some() { judged } else { configuration };
        let view = View {
            taken_at: now_millis(),
            sources,
            accounting,
            rejected,
            configuration,
            actions: shown.actions.clone(),
            commands: shown.commands.clone(),
            safety: shown.safety.clone(),
            ..parts.evaluated.clone()
        };
        drop(parts);
        self.telemetry.acting(self.shown.owner(), self.shown.unreadable());
        self.telemetry.publish(Arc::new(view));
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // Each part is whole after every statement, so a panic elsewhere leaves nothing half done.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
