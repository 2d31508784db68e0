//! The wiki of `docs/guide/wiki.md`, which has this file whole.

use std::{convert::Infallible, error::Error, future::Future};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{
        Html,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt};
use spacefold::{CommandError, Delivery, EventType, Spacefold, Subscription};
use tokio::{net::TcpListener, signal, task::spawn_blocking};

const SPACE: &str = "wiki";
const MAX_PAGE_BYTES: u64 = 1 << 20;

type Failure = Box<dyn Error + Send + Sync>;
type Answer<T> = Result<T, (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let spaces = Spacefold::open("wiki-data")?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    serve(spaces, listener, async { drop(signal::ctrl_c().await) }).await
}

/// Serves the wiki until `stop`, then closes the store.
async fn serve(
    spaces: Spacefold,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    if spaces.snapshot(SPACE).is_err() {
        spaces.service().create_space(SPACE, "Wiki")?;
    }
    let feed = spaces.feed().clone();
    let stop = async move {
        stop.await;
        // Streams of changes have no end of their own: without this the server would wait for them.
        feed.close();
    };
    axum::serve(listener, wiki(spaces.clone())).with_graceful_shutdown(stop).await?;
    Ok(spaces.close()?)
}

fn wiki(spaces: Spacefold) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/{page}", get(show).put(save))
        .route("/{page}/text", get(text))
        .route("/{page}/changes", get(changes))
        .with_state(spaces)
}

/// Calls into the store block, so they run beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Answer<T> {
    let failed = |error: Failure| {
        // A rule of the space refuses: the message says which, and what was found.
        let refused = error.downcast_ref::<CommandError>().is_some_and(|e| e.refusal().is_some());
        let status = if refused { StatusCode::CONFLICT } else { StatusCode::INTERNAL_SERVER_ERROR };
        (status, error.to_string())
    };
    spawn_blocking(work).await.unwrap_or_else(|panic| Err(panic.into())).map_err(failed)
}

async fn list(State(spaces): State<Spacefold>) -> Answer<Html<String>> {
    let links = blocking(move || {
        let state = spaces.snapshot(SPACE)?;
        let documents = state.documents().into_iter().map(|(page, _)| page);
        Ok(documents.map(|page| format!("<li><a href=\"/{0}\">{0}</a>", escaped(page))).collect())
    });
    links.await.map(|links: String| Html(format!("<h1>Wiki</h1><ul>{links}</ul>")))
}

async fn text(State(spaces): State<Spacefold>, Path(page): Path<String>) -> Answer<String> {
    blocking(move || {
        let Some(hash) = spaces.snapshot(SPACE)?.content(&page) else { return Ok(String::new()) };
        let bytes = spaces.read_content(&hash, MAX_PAGE_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
    .await
}

async fn show(state: State<Spacefold>, Path(page): Path<String>) -> Answer<Html<String>> {
    let text = text(state, Path(page.clone())).await?;
    Ok(Html(format!(
        r#"<h1>{}</h1><textarea id=text rows=20 cols=80>{}</textarea>
<p><button onclick="fetch(location.pathname, {{ method: 'PUT', body: area.value }})">Save</button>
<script>
const area = document.getElementById("text");
new EventSource(location.pathname + "/changes").onmessage = async () => {{
    area.value = await (await fetch(location.pathname + "/text")).text();
}};
</script>"#,
        escaped(&page),
        escaped(&text)
    )))
}

async fn save(
    State(spaces): State<Spacefold>,
    Path(page): Path<String>,
    body: String,
) -> Answer<StatusCode> {
    blocking(move || {
        let is_new = spaces.snapshot(SPACE)?.document(&page).is_none();
        let batch = spaces.service().batch(SPACE);
        let batch = if is_new { batch.add_document(&page, format!("/{page}.md")) } else { batch };
        batch.set_content(&page, body).commit()?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A message for every change of a page, from now on.
async fn changes(
    State(spaces): State<Spacefold>,
    Path(page): Path<String>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let changes = Subscription::from_now().spaces([SPACE]).document(page);
    let changes = changes.types([EventType::DocumentContentChanged]);
    let subscriber = blocking(move || Ok(spaces.subscribe(changes)?)).await?;
    let messages = subscriber.filter_map(|delivery| async {
        match delivery {
            Ok(Delivery::Events(page)) => {
                Some(Ok(Event::default().data(page.next().previous().to_string())))
            }
            _ => None,
        }
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::default()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
