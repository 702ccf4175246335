//! The HTTP interface: metrics, health, a read-only JSON API and a status page. It reads the
//! published view and counters and can change nothing, so a request can never hold up or steer
//! the engine. It listens on loopback unless the configuration says otherwise.

pub mod client;
mod error;
mod filter;
mod listener;
mod readiness;
mod reload;
mod router;
mod status_page;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use axum::Extension;
use serde::{Deserialize, Serialize};

use crate::telemetry::Telemetry;

pub use readiness::{Readiness, Reason};
pub use reload::{Handler, Reload, ReloadAnswer};
pub use router::router;

/// How long open requests may take after the shutdown began.
const GRACE: Duration = Duration::from_secs(1);

/// Where the interface listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 lets the system choose one. An address that is not loopback shows
    /// models, groups and findings to whoever reaches it: there is no log-in.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)) }
    }
}

/// The interface cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The configured address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The listening socket cannot be used any more.
    #[error("cannot serve HTTP")]
    Serve(#[source] std::io::Error),
}

/// Opens the configured address, so that the caller can tell the port before anything is served.
///
/// # Errors
/// If the address cannot be listened on.
pub fn bind(config: &Config) -> Result<TcpListener, Error> {
    TcpListener::bind(config.listen).map_err(|source| Error::Listen { listen: config.listen, source })
}

/// Serves until `shutdown` ends, then lets open requests end for at most a second.
///
/// # Errors
/// If the listening socket cannot be used.
pub async fn serve(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    serve_with(listener, telemetry, readiness, Reload::default(), shutdown).await
}

/// The same, where the configuration can be read again.
///
/// # Errors
/// If the listening socket cannot be used.
pub async fn serve_with(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    reload: Reload,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    listener.set_nonblocking(true).map_err(Error::Serve)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Serve)?;
    let address = listener.local_addr().map_err(Error::Serve)?;
    tracing::info!(%address, "HTTP interface is listening");
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the HTTP interface has no log-in and listens beyond loopback");
    }
    let router = router(telemetry, readiness, address.ip().is_loopback()).layer(Extension(reload));
    let (ending, mut ended) = tokio::sync::watch::channel(false);
    let server = axum::serve(listener::Limited::new(listener), router).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens any more only where the server itself has ended.
        let _ = ending.send(true);
    });
    tokio::select! {
        result = server.into_future() => result.map_err(Error::Serve),
        () = async {
            if ended.wait_for(|ended| *ended).await.is_ok() {
                tokio::time::sleep(GRACE).await;
            } else {
                std::future::pending::<()>().await;
            }
        } => Ok(()),
    }
}
