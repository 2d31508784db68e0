//! How a command reaches a store: it opens one that nobody has, asks the process that has it where that
//! serves it, and else follows it to read; or asks the server that the user names.

mod local_door;
mod look;
pub(crate) mod printed_info;
pub(crate) mod read_door;
pub(crate) mod read_store;
pub(crate) mod remote_door;
mod space_row;
pub(crate) mod write_door;

use std::{path::Path, time::Duration};

use spacefold::{OpenError, Options, admin::socket_path};
use spacefold_client::{Client, ClientOptions, Endpoint};

use self::{
    read_door::ReadDoor,
    read_store::{Needed, ReadStore, for_a_question, unwritable},
    remote_door::RemoteDoor,
    write_door::WriteDoor,
};
use crate::{error::Failure, interrupt};

/// The door to read the store in a folder by.
pub(crate) fn reading(path: &Path, needed: Needed) -> Result<Box<dyn ReadDoor>, Failure> {
    // Who may not write must not hold the lock either: it would be in the writer's way.
    if let Some(why) = unwritable(path) {
        return Ok(Box::new(ReadStore::follow(path, needed, Some(why))?));
    }
    let store = match for_a_question(path).open() {
        Ok(spaces) => match spaces.log().known_refusal() {
            Some(why) => {
                spaces.close()?;
                ReadStore::follow(path, needed, Some(why))?
            }
            None => ReadStore::opened(spaces)?,
        },
        Err(OpenError::AlreadyOpen { .. }) => match served(path) {
            Some(door) => return Ok(Box::new(door)),
            None => ReadStore::follow(path, needed, None)?,
        },
        Err(OpenError::NoLocks { .. }) => ReadStore::follow(path, needed, None)?,
        Err(OpenError::Storage(why)) if why.kind().forbids_writing_only() => {
            ReadStore::follow(path, needed, Some(why))?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Box::new(store))
}

/// The door to write a store by.
pub(crate) fn writing(path: &Path, options: &Options) -> Result<WriteDoor, Failure> {
    let spaces = match options.open() {
        Ok(spaces) => spaces,
        Err(error @ OpenError::AlreadyOpen { .. }) => {
            return served(path).map(WriteDoor::Remote).ok_or_else(|| error.into());
        }
        Err(error) => return Err(error.into()),
    };
    let log = spaces.log().clone();
    interrupt::begin(spaces.log(), move || log.close())?;
    Ok(WriteDoor::Open(spaces))
}

/// The process that has the store, where it answers at its socket.
fn served(path: &Path) -> Option<RemoteDoor> {
    let socket = socket_path(path).ok()?;
    let mut options = ClientOptions::default();
    // Who listens there answers, or has gone.
    options.retry_for = Duration::ZERO;
    Client::new(Endpoint::Socket(socket.clone()), options).store().ok()?;
    Some(RemoteDoor::by_socket(Client::new(Endpoint::Socket(socket), ClientOptions::default())))
}
