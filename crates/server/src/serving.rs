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
    runtime::Builder,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{
    serve_error::ServeError, served_store::ServedStore, server_listener::ServerListener,
    settings::Settings, timed_io::TimedIo,
};

/// After an error of accepting, such as that too many files are open, it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers what arrives at a listener, with the limits of the settings on connections and on the heads of
/// requests, until their [`Drain`](crate::Drain) starts: then no further connection is taken, streams
/// end, and it returns once what is under way is answered, or
/// [`drain_timeout`](crate::ServerLimits::drain_timeout) has passed. The store stays open.
///
/// Who may is for the router and the [listener](ServerListener) to say.
///
/// # Errors
/// Where the listener cannot be used on the runtime that this is called in. What goes wrong with a
/// connection is its own.
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
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
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
pub async fn serve(
    listener: impl Into<ServerListener>,
    router: Router,
    settings: &Settings,
) -> io::Result<()> {
    let limits = &settings.limits;
    let listening = listener.into().on_runtime()?;
    let place = listening.place();
    tracing::info!(%place, "serving");
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
            (permit, listening.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = settings.drain.started() => break,
            accepted = accepted => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (http, service, watcher) = (http.clone(), service.clone(), graceful.watcher());
        let (header_timeout, write_timeout) = (limits.header_timeout, limits.write_timeout);
        tokio::spawn(async move {
            match timeout(header_timeout, accepted.begin()).await {
                Ok(Ok(stream)) => {
                    let io = TokioIo::new(TimedIo::new(stream, write_timeout));
                    let ended = watcher.watch(http.serve_connection(io, service)).await;
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended");
                    }
                }
                Ok(Err(error)) => tracing::info!(%error, "a connection was refused"),
                Err(_) => tracing::debug!("a connection did not begin in time"),
            }
            drop(permit);
        });
    }
    drop(listening);
    if timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were not answered in time, and are broken off");
    }
    tracing::info!(%place, "served");
    Ok(())
}

/// Serves a store in this thread, on a runtime of its own, until the [`Drain`](crate::Drain) of the
/// settings starts and everything is answered, as [`serve`] does: for programs without a runtime. The
/// store stays open.
///
/// # Errors
/// [`ServeError`] where there are no threads or the listener cannot be used.
///
/// # Examples
/// ```
/// use spacefold::Spacefold;
/// use spacefold_server::{Settings, run};
///
/// let spaces = Spacefold::in_memory()?;
/// let settings = Settings::default();
/// let drain = settings.drain.clone();
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let serving = std::thread::spawn({
///     let spaces = spaces.clone();
///     move || run(spaces, listener, settings)
/// });
/// drain.start();
/// serving.join().expect("it does not panic")?;
/// spaces.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(
    spaces: impl Into<ServedStore>,
    listener: impl Into<ServerListener>,
    settings: Settings,
) -> Result<(), ServeError> {
    let spaces = spaces.into();
    run_on(&mut Builder::new_multi_thread(), spaces, listener.into(), settings)
}

/// Serves a store on a runtime of this kind.
pub(crate) fn run_on(
    runtime: &mut Builder,
    spaces: ServedStore,
    listener: ServerListener,
    settings: Settings,
) -> Result<(), ServeError> {
    let runtime = runtime.enable_all().thread_name("spacefold-http").build();
    let runtime = runtime.map_err(ServeError::Runtime)?;
    let router = crate::router(spaces, settings.clone());
    let served = runtime.block_on(serve(listener, router, &settings));
    served.map_err(ServeError::Listener)
}
