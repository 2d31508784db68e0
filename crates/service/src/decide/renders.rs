//! What commands on renders come to.

use spacefold_event_core::{Position, Presence, SpaceEvent};
use spacefold_state::{RenderStatus, SpaceState};

use super::known_document;
use crate::{command::Command, refusal::Refusal};

/// How a render failed whose place another one has taken.
const TAKEN_OVER: &str = "another render was started in its place";

/// The events that a command on a render comes to.
pub(super) fn decide_on_render(
    state: &SpaceState,
    command: &Command,
) -> Result<Vec<SpaceEvent>, Refusal> {
    let space_id = state.space_id();
    Ok(match command {
        Command::StartRender { document_id } => vec![start_render(state, document_id)?],
        Command::CompleteRender { document_id, output_hash, started } => {
            check_running(state, document_id, *started)?;
            let (id, hash) = (document_id.clone(), output_hash.clone());
            vec![SpaceEvent::render_completed(space_id, id, hash)]
        }
        Command::FailRender { document_id, error, started } => {
            check_running(state, document_id, *started)?;
            let (id, error) = (document_id.clone(), error.clone());
            vec![SpaceEvent::render_failed(space_id, id, error)]
        }
        Command::TakeOverRender { document_id, started } => {
            check_running(state, document_id, Some(*started))?;
            vec![
                SpaceEvent::render_failed(space_id, document_id.clone(), TAKEN_OVER),
                SpaceEvent::render_started(space_id, document_id.clone()),
            ]
        }
        _ => Vec::new(),
    })
}

fn start_render(state: &SpaceState, document_id: &Presence) -> Result<SpaceEvent, Refusal> {
    let id = document_id.as_deref();
    if let Some(id) = id {
        known_document(state, id)?;
    }
    if let Some(render) = state.render(id)
        && render.status() == RenderStatus::Running
    {
        let document_id = id.map(str::to_owned);
        return Err(Refusal::RenderRunning { document_id, started: render.position() });
    }
    Ok(SpaceEvent::render_started(state.space_id(), document_id.clone()))
}

/// Whether a render that may end is running; with `started` that very one.
fn check_running(
    state: &SpaceState,
    document_id: &Presence,
    started: Option<Position>,
) -> Result<(), Refusal> {
    let id = document_id.as_deref();
    if let Some(id) = id {
        known_document(state, id)?;
    }
    let render = state.render(id);
    match (render, started) {
        (Some(render), _) if render.status() != RenderStatus::Running => {
            let document_id = id.map(str::to_owned);
            Err(Refusal::RenderNotRunning { document_id, found: Some(render.status()) })
        }
        (None, _) => {
            Err(Refusal::RenderNotRunning { document_id: id.map(str::to_owned), found: None })
        }
        (Some(render), Some(started)) if render.position() != started => {
            Err(Refusal::RenderSuperseded { started, running: render.position() })
        }
        _ => Ok(()),
    }
}
