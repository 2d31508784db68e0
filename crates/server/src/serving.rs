//! A listener whose connections are answered by a router, until the end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{settings::Settings, timed_io::TimedIo};

/// After an error of accepting, such as that too many files are open, it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers what arrives at a listener, with the limits of the settings on connections and on the heads of
/// requests, until their [`Drain`](crate::Drain) starts: then no further connection is taken, streams
/// end, and it returns once what is under way is answered, or
/// [`drain_timeout`](crate::ServerLimits::drain_timeout) has passed. The store stays open.
///
/// Nobody is asked who they are, and nothing is encrypted: bind the listener to a loopback address, or put
/// it behind what does both.
///
/// # Errors
/// Of a listener without an address. What goes wrong with a connection is its own.
///
/// # Examples
/// ```
/// use spacefold::Spacefold;
/// use spacefold_server::{Settings, router, serve};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let spaces = Spacefold::in_memory()?;
/// let settings = Settings::default();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let drain = settings.drain.clone();
/// let serving = tokio::spawn(async move {
///     let router = router(spaces, settings.clone());
///     serve(listener, router, &settings).await
/// });
/// // On SIGTERM, say.
/// drain.start();
/// serving.await??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn serve(listener: TcpListener, router: Router, settings: &Settings) -> io::Result<()> {
    let limits = &settings.limits;
    let address = listener.local_addr()?;
    tracing::info!(%address, "serving");
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // Smaller ones hyper does not take.
        .max_buf_size(limits.max_header_bytes.max(8 << 10));
    let service = TowerToHyperService::new(router);
    let connections = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            // Nobody closes it.
            let permit = Arc::clone(&connections).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = settings.drain.started() => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Events are small, and are wanted when they happen.
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(TimedIo::new(stream, limits.write_timeout));
        let connection = graceful.watch(http.serve_connection(io, service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were not answered in time, and are broken off");
    }
    Ok(())
}
