//! The socket of a store: whoever else runs as the same user reads and writes the store through it,
//! while this process has it.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use spacefold::{
    Position, Spacefold,
    admin::socket_path,
    log::{LogReader, ReadRequest},
};
use tokio::runtime::Builder;

use crate::{
    drain::Drain, serve_error::ServeError, served_store::ServedStore,
    server_listener::ServerListener, serving::run_on, settings::Settings,
};

/// Connections that wait to be accepted; of more the system makes the clients wait.
const BACKLOG: i32 = 1_024;

/// Mode of the socket: its owner alone.
const SOCKET_MODE: u32 = 0o600;

/// The sockets that this process serves.
static SERVED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A store that is served through its [socket](socket_path) by a thread of its own, until this is
/// stopped or dropped. It keeps the store open: stop it before the store is closed.
#[derive(Debug)]
pub struct LocalService {
    path: PathBuf,
    drain: Drain,
    serving: Option<JoinHandle<Result<(), ServeError>>>,
}

/// Serves an open store through its socket, from a thread and a runtime of its own: processes of the same
/// user, and of no other, read, append and command through it, without a token. Several stores of a
/// process are each served so.
///
/// A socket that an earlier process has left is replaced: the store's lock, which this process holds,
/// says whose it is.
///
/// # Errors
/// [`ServeError`]; nothing listens, and the store is open as it was.
///
/// # Examples
/// ```
/// use spacefold::Spacefold;
/// use spacefold_server::serve_local;
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let spaces = Spacefold::open(&data)?;
/// let service = serve_local(&spaces)?;
/// assert_eq!(service.path(), data.canonicalize()?.join("sock"));
/// service.stop()?;
/// spaces.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn serve_local(spaces: &Spacefold) -> Result<LocalService, ServeError> {
    serve_local_with(spaces, Settings::default())
}

/// As [`serve_local`], with settings; their tokens do not count. It ends when their
/// [`Drain`] starts, too: give it one of its own where it is not to end with others.
///
/// # Errors
/// As [`serve_local`].
pub fn serve_local_with(
    spaces: &Spacefold,
    mut settings: Settings,
) -> Result<LocalService, ServeError> {
    settings.tokens = None;
    // A store that was closed holds no lock, and says so of any read.
    spaces.log().read(&ReadRequest::from(Position::new(1)).limit(1))?;
    let path = socket_path(spaces.log().path())?;
    let socket = BoundSocket::bind(&path)?;
    let drain = settings.drain.clone();
    let store = ServedStore::from(spaces.clone());
    let serve = move || {
        let BoundSocket { listener, file } = socket;
        let listener = ServerListener::socket(listener);
        let served = run_on(&mut Builder::new_current_thread(), store, listener, settings);
        drop(file);
        served
    };
    let serving = thread::Builder::new().name("spacefold-socket".to_owned()).spawn(serve);
    Ok(LocalService { path, drain, serving: Some(serving.map_err(ServeError::Runtime)?) })
}

impl LocalService {
    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it: streams are closed, what is under way is answered, the socket is removed.
    ///
    /// # Errors
    /// [`ServeError`] where it had ended before, for that.
    pub fn stop(mut self) -> Result<(), ServeError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ServeError> {
        self.drain.start();
        let Some(serving) = self.serving.take() else { return Ok(()) };
        let panicked = || io::Error::other("the thread of the socket has panicked");
        serving.join().unwrap_or_else(|_| Err(ServeError::Runtime(panicked())))
    }
}

impl Drop for LocalService {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the socket of the store ended before");
        }
    }
}

/// A socket that listens.
struct BoundSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, which goes with whoever serves it.
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: Option<(u64, u64)>,
}

impl BoundSocket {
    fn bind(path: &Path) -> Result<Self, ServeError> {
        if !served(|sockets| sockets.insert(path.to_owned())) {
            return Err(ServeError::AlreadyServed { path: path.to_owned() });
        }
        let mut file = SocketFile { path: path.to_owned(), id: None };
        let failed = |cause: io::Error| ServeError::Socket { path: path.to_owned(), cause };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(path).map_err(failed)?;
            }
            Ok(_) => return Err(ServeError::InTheWay { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_folder(path)?,
            Err(error) => return Err(failed(error)),
        }
        let listener = listener_at(path).map_err(failed)?;
        file.id = Some(id_of(path).map_err(failed)?);
        Ok(Self { listener, file })
    }
}

/// Listens at a path, that nobody but the owner has ever been able to reach.
fn listener_at(path: &Path) -> io::Result<UnixListener> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let private = fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE));
    private.and_then(|()| Ok(listen(&socket, BACKLOG)?)).inspect_err(|_| {
        // It is not there for anybody yet.
        let _ = fs::remove_file(path);
    })?;
    Ok(socket.into())
}

/// Makes the folder of a socket that is beside the store.
fn make_folder(path: &Path) -> Result<(), ServeError> {
    let Some(folder) = path.parent().filter(|folder| !folder.exists()) else { return Ok(()) };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(ServeError::Socket { path: path.to_owned(), cause: error })
        }
        _ => Ok(()),
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn served<T>(change: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    change(&mut SERVED.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that another process has put there is that one's.
        if self.id.is_some() && id_of(&self.path).ok() == self.id {
            let _ = fs::remove_file(&self.path);
        }
        served(|sockets| sockets.remove(&self.path));
    }
}

impl fmt::Debug for SocketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketFile").field(&self.path).finish()
    }
}
