//! The HTTP interface: metrics, health, a JSON API, gates for deployment tools and a status page. It reads
//! the published view and counters, so a request can never hold up or steer the engine. Two things can be
//! asked for: to read the configuration again, and, with a token, what people order; both are handed
//! on and decided elsewhere. It listens on loopback unless the configuration says otherwise.

pub mod access;
pub mod client;
pub mod commands;
mod error;
mod filter;
mod gates;
mod listener;
mod readiness;
mod reload;
mod router;
mod status_page;
pub mod tls;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::telemetry::Telemetry;

pub use access::{Access, Anonymous};
pub use commands::Commands;
pub use readiness::{Readiness, Reason};
pub use reload::{Handler, Reload, ReloadAnswer};
pub use tls::Tls;

/// How long open requests may take after the shutdown began.
const GRACE: Duration = Duration::from_secs(1);

/// Where the interface listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 lets the system choose one.
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

/// Wall time, milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What is served beside the published view. By default nothing can be ordered, everybody may read, and no
/// clock says that a verdict is recent, so that every gate holds.
#[derive(Clone)]
pub struct Services {
    /// Who may see and order what.
    pub access: Access,
    /// TLS; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Where the configuration is read again.
    pub reload: Reload,
    /// Where people's orders go.
    pub commands: Commands,
    /// What orders are dated by, and verdicts grow old by.
    pub clock: Clock,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            access: Access::default(),
            tls: None,
            reload: Reload::default(),
            commands: Commands::default(),
            clock: Arc::new(|| i64::MAX),
        }
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services")
            .field("access", &self.access)
            .field("tls", &self.tls)
            .field("reload", &self.reload)
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
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
    serve_with(listener, telemetry, readiness, Services::default(), shutdown).await
}

/// The same with what can be asked for beside the view.
///
/// # Errors
/// If the listening socket cannot be used.
pub async fn serve_with(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    services: Services,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    listener.set_nonblocking(true).map_err(Error::Serve)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Serve)?;
    let address = listener.local_addr().map_err(Error::Serve)?;
    let (loopback, tls) = (address.ip().is_loopback(), services.tls.clone());
    tracing::info!(%address, tls = tls.is_some(), tokens = services.access.tokens.len(), "HTTP interface is listening");
    if !loopback && services.access.anonymous == Anonymous::Read {
        tracing::warn!(%address, "the HTTP interface listens beyond loopback and shows everything to everybody");
    }
    let router = router::router(telemetry, readiness, services, loopback);
    let (ending, mut ended) = tokio::sync::watch::channel(false);
    let server =
        axum::serve(listener::Limited::new(listener, tls), router).with_graceful_shutdown(async move {
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
