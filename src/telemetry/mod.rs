//! What plimsoll shows of itself: one catalogue of metrics, the pages that are made from it, and
//! structured logs.
//!
//! [`Telemetry`] is a cheap handle. Adapters count events on it; the engine's owner publishes an
//! immutable [`View`] after each evaluation. A page is made from the two when somebody asks, so a
//! slow or greedy scraper never holds up the engine.

mod actions;
pub mod catalogue;
mod current;
mod document;
mod events;
mod exchange;
mod findings;
mod from_view;
pub mod logging;
mod page;
mod process;
mod text;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use crate::engine::view::View;
use catalogue::Id;
use events::Events;
use page::{Page, Value};

pub use current::current;
pub use document::markdown;
pub use events::{ActionOutcome, Rebalance, Sink, SinkError, Stage};
pub use text::Format;

/// A page could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The encoder refused a metric.
    #[error("cannot encode the metrics")]
    Encode(#[from] fmt::Error),
}

/// Counts events, holds the newest view, and writes metric pages. Clones share everything.
#[derive(Clone, Debug)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    version: String,
    revision: String,
    registry: Registry,
    shared: Arc<Shared>,
}

/// What the collector reads.
#[derive(Debug)]
struct Shared {
    events: Events,
    view: ArcSwap<View>,
}

impl Telemetry {
    /// Starts with an empty view and all counters at 0. `version` and `revision` are those of this
    /// build.
    pub fn new(version: &str, revision: &str) -> Self {
        let shared = Arc::new(Shared {
            events: Events::new(version, revision),
            view: ArcSwap::from_pointee(View::default()),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&shared)));
        let inner = Inner { version: version.to_owned(), revision: revision.to_owned(), registry, shared };
        Self { inner: Arc::new(inner) }
    }

    /// The version of this build.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// The source revision of this build.
    pub fn revision(&self) -> &str {
        &self.inner.revision
    }

    /// Replaces the view that pages, API and terminal show.
    pub fn publish(&self, view: Arc<View>) {
        self.inner.shared.view.store(view);
    }

    /// The newest view.
    pub fn view(&self) -> Arc<View> {
        self.inner.shared.view.load_full()
    }

    /// Writes a metrics page of the present moment.
    ///
    /// # Errors
    /// If the encoder refuses a metric.
    pub fn page(&self, format: Format) -> Result<String, Error> {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.inner.registry)?;
        Ok(match format {
            Format::OpenMetrics => page,
            Format::Prometheus => text::to_prometheus(&page),
        })
    }

    fn events(&self) -> &Events {
        &self.inner.shared.events
    }
}

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::default();
        process::collect(&mut page);
        self.events.collect(&mut page);
        let view = self.view.load();
        from_view::collect(&view, &mut page);
        self.events.lock().actions.collect(&view.safety, &mut page);
        for (id, series) in page.limit() {
            let family = id.spec().name;
            self.events.count(Id::MetricSeriesDropped, &[family], series);
            page.add(Id::MetricSeriesDropped, &[family], series);
        }
        let series = page.series() as u64;
        page.set(Id::MetricSeries, &[], Value::Count(series));
        page.encode(&mut encoder)
    }
}
