//! From configured targets to the adapters that call them.

use std::sync::Arc;

use crate::action::webhook::{self, Webhook};
use crate::action::{Clock, DryRun, Target};
use crate::config::{self, Config};

/// What carries out `action`.
pub(super) fn target(
    action: &config::Action,
    _config: &Config,
    clock: &Clock,
) -> anyhow::Result<Arc<dyn Target>> {
    let clock = Arc::clone(clock);
    Ok(match &action.target {
        config::Target::DryRun => Arc::new(DryRun),
        config::Target::Webhook(webhook) => {
            let settings = webhook::Config {
                url: webhook.place.url.clone(),
                secrets: vec![webhook::Secret::new(webhook.secret.expose())?],
                ca_file: webhook.place.ca_file.clone(),
                timeout: webhook.place.timeout,
            };
            Arc::new(Webhook::new(&settings, clock)?)
        }
        _ => anyhow::bail!("not built"),
    })
}
