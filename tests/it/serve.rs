//! `spacefold serve`, as it is run: who gets in, how it ends, and what is there after it was killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use spacefold::Spacefold;

use crate::support::{cli, run};

/// Longer than any answer takes: what hangs is to fail.
const HANGS: Duration = Duration::from_secs(60);

/// A server in a process of its own.
struct Served {
    child: Child,
    said: Value,
    address: SocketAddr,
}

impl Served {
    fn of(store: &Path, arguments: &[&str]) -> Self {
        let mut command = cli(store);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::by(&mut command)
    }

    fn by(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["address"].as_str().unwrap().parse().unwrap();
        Self { child, said, address }
    }

    fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(HANGS)).unwrap();
        connection
    }

    fn ask(&self, head: &str, headers: &str, body: &str) -> Option<(u16, String)> {
        ask(self.connect(), head, headers, body)
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    fn code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn socket(&self) -> PathBuf {
        self.said["socket"].as_str().unwrap().into()
    }
}

/// Asks over a connection, and reads the answer to its end; `None` where there is none that is whole.
fn ask(
    mut connection: impl std::io::Read + std::io::Write,
    head: &str,
    headers: &str,
    body: &str,
) -> Option<(u16, String)> {
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
    let is_whole = lengths.next_back().is_none_or(|length| length.parse() == Ok(body.len()));
    let status = head.split(' ').nth(1)?.parse().ok()?;
    is_whole.then(|| (status, body.to_owned()))
}

/// Appends event after event to a space of its own until no answer comes; how many were acknowledged.
fn append_until_the_end(address: SocketAddr, space: &str) -> u64 {
    for n in 0.. {
        let event = match n {
            0 => {
                json!({ "event_type": "space.created", "space_id": space, "payload": { "name": "x" } })
            }
            _ => json!({ "event_type": "variable.set", "space_id": space,
                         "payload": { "name": "n", "value": n } }),
        };
        let body = json!({ "events": [event] }).to_string();
        let Ok(connection) = TcpStream::connect(address) else { return n };
        connection.set_read_timeout(Some(HANGS)).unwrap();
        match ask(connection, "POST /v1/append", "", &body) {
            Some((200, _)) => {}
            Some((503, _)) | None => return n,
            other => panic!("{other:?}"),
        }
    }
    unreachable!("it ends");
}

/// Checks that what was acknowledged to each is there, once and in order, and at the most one more.
fn check(store: &Path, acknowledged: &[(String, u64)]) {
    let exported = run(cli(store).arg("export")).succeeded();
    let events: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (space, acknowledged) in acknowledged {
        let of_space = events.iter().filter(|event| event["space_id"] == **space);
        let value = |event: &Value| event["payload"]["value"].as_u64().unwrap_or(0);
        let values: Vec<u64> = of_space.map(value).collect();
        let stored = values.len() as u64;
        assert!((*acknowledged..=acknowledged + 1).contains(&stored), "{space}: {stored}");
        assert_eq!(values, (0..stored).collect::<Vec<_>>(), "{space}");
    }
    run(cli(store).arg("verify")).succeeded();
}

#[test]
fn tokens_are_let_in_and_revoked_while_it_runs_and_the_owner_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let served = Served::of(&store, &[]);
    assert_eq!(served.ask("GET /v1", "", "").unwrap().0, 401);
    let created = run(cli(&store).args(["token", "create", "--json", "--allow", "read"]).args([
        "--spaces",
        "*",
        "--expires",
        "30d",
        "--label",
        "of a test",
    ]));
    let created: Value = serde_json::from_str(&created.succeeded()).unwrap();
    let header = format!("Authorization: Bearer {}\r\n", created["token"].as_str().unwrap());
    assert_eq!(served.ask("GET /v1", &header, "").unwrap().0, 200);
    assert_eq!(served.ask("POST /v1/append", &header, "{}").unwrap().0, 403);
    let mode = fs::metadata(store.join("tokens.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = run(cli(&store).args(["token", "list"])).succeeded();
    let id = created["id"].as_str().unwrap();
    assert!(listed.contains(id) && listed.contains("of a test"), "{listed}");
    assert!(!listed.contains(created["token"].as_str().unwrap()));
    run(cli(&store).args(["token", "revoke", id])).succeeded();
    assert_eq!(served.ask("GET /v1", &header, "").unwrap().0, 401);
    assert_eq!(run(cli(&store).args(["token", "revoke", id])).code, Some(4));
    let socket = served.socket();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let through = ask(UnixStream::connect(&socket).unwrap(), "GET /v1", "", "").unwrap();
    assert_eq!(through.0, 200, "{through:?}");
    served.signal("INT");
    assert_eq!(served.code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn at_sigterm_streams_are_closed_appends_answered_and_the_store_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let manager = folder.path().join("manager");
    let manager_socket = UnixDatagram::bind(&manager).unwrap();
    manager_socket.set_read_timeout(Some(HANGS)).unwrap();
    let mut command = cli(&store);
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--allow-anonymous"]);
    let served = Served::by(command.env("NOTIFY_SOCKET", &manager));
    let told = || {
        let mut state = [0; 64];
        let bytes = manager_socket.recv(&mut state).unwrap();
        String::from_utf8(state[..bytes].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1");
    let mut stream = served.connect();
    let request =
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request).unwrap();
    let (tell, seen) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            if line.starts_with("id: ") {
                let _ = tell.send(());
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    });
    let address = served.address;
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let space = format!("s{n}");
            thread::spawn(move || (space.clone(), append_until_the_end(address, &space)))
        })
        .collect();
    // It ends in the midst of appends that are seen.
    (0..50).for_each(|_| seen.recv_timeout(HANGS).unwrap());
    served.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    let acknowledged: Vec<_> = writers.into_iter().map(|it| it.join().unwrap()).collect();
    let text = reading.join().unwrap();
    assert!(text.contains("event: closing\ndata: {\"reason\":\"ending\"}"), "{text}");
    assert!(text.trim_end().ends_with('0'), "the body has its end: {text}");
    assert_eq!(served.code(), Some(0));
    assert!(acknowledged.iter().map(|(_, n)| n).sum::<u64>() >= 40);
    check(&store, &acknowledged);
}

#[test]
fn the_second_interrupt_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let served = Served::of(&store, &["--allow-anonymous"]);
    let mut hanging = served.connect();
    let head = b"POST /v1/append HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    hanging.write_all(head).unwrap();
    // The request is under way once the server asks for its body.
    let mut continued = [0; 12];
    hanging.read_exact(&mut continued).unwrap();
    assert_eq!(&continued, b"HTTP/1.1 100");
    served.signal("INT");
    // The end has begun when nobody is let in any more.
    while TcpStream::connect(served.address).is_ok() {
        thread::yield_now();
    }
    served.signal("INT");
    assert_eq!(served.code(), Some(130));
    // What may be left of its socket is in nobody's way.
    let again = Served::of(&store, &["--allow-anonymous"]);
    assert_eq!(again.ask("GET /v1", "", "").unwrap().0, 200);
    assert!(UnixStream::connect(again.socket()).is_ok());
    again.signal("TERM");
    assert_eq!(again.code(), Some(0));
}

/// `SPACEFOLD_KILL_CLIENTS` clients write, 16 unless told.
#[test]
fn what_was_acknowledged_before_a_kill_is_there_once_and_in_order() {
    let clients = env::var("SPACEFOLD_KILL_CLIENTS").map_or(16, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut served = Served::of(&store, &["--allow-anonymous"]);
    let address = served.address;
    let (tell, begun) = mpsc::channel();
    let writers: Vec<_> = (0..clients)
        .map(|n| {
            let (space, tell) = (format!("s{n}"), tell.clone());
            thread::spawn(move || {
                tell.send(()).unwrap();
                (space.clone(), append_until_the_end(address, &space))
            })
        })
        .collect();
    (0..clients).for_each(|_| begun.recv_timeout(HANGS).unwrap());
    let wanted = clients * 4;
    loop {
        let (_, root) = served.ask("GET /v1", "", "").unwrap();
        let root: Value = serde_json::from_str(&root).unwrap();
        if root["durable_head"].as_u64().unwrap() >= wanted {
            break;
        }
    }
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let acknowledged: Vec<_> = writers.into_iter().map(|it| it.join().unwrap()).collect();
    assert!(acknowledged.iter().any(|(_, n)| *n > 1), "nothing was acknowledged");
    check(&store, &acknowledged);
}

#[test]
fn read_only_it_follows_beside_the_owner_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    spaces.service().create_space("a", "A").unwrap();
    let served = Served::of(&store, &["--allow-anonymous", "--read-only"]);
    assert_eq!(served.said["socket"], Value::Null);
    let (status, state) = served.ask("GET /v1/spaces/a?after=1&wait=20s", "", "").unwrap();
    assert!(status == 200 && state.contains("\"A\""), "{state}");
    let event = json!({ "events": [{ "event_type": "space.activated", "space_id": "a" }] });
    let (status, refused) = served.ask("POST /v1/append", "", &event.to_string()).unwrap();
    assert!(status == 403 && refused.contains("read_only"), "{refused}");
    served.signal("TERM");
    assert_eq!(served.code(), Some(0));
    assert!(!store.join("sock").exists() && !store.join("tokens.json").exists());
    spaces.close().unwrap();
}

#[test]
fn it_listens_nowhere_that_is_not_meant() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let refused = |code: i32, arguments: &[&str]| {
        let answer = run(cli(&store).arg("serve").args(arguments));
        assert_eq!(answer.code, Some(code), "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        assert!(!store.exists() && answer.stdout.is_empty(), "{arguments:?}");
        answer.stderr
    };
    refused(2, &["--listen", "0.0.0.0:0"]);
    refused(2, &["--listen", "[::]:0", "--allow-anonymous", "--insecure"]);
    refused(2, &["--listen", "127.0.0.1:0", "--tls-cert", "x"]);
    let certificate = folder.path().join("none.crt");
    let path = certificate.to_str().unwrap();
    let files = ["--tls-cert", path, "--tls-key", path];
    let told = refused(1, &[&["--listen", "127.0.0.1:0"][..], &files].concat());
    assert!(told.contains("none.crt"), "{told}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    refused(1, &["--listen", &taken]);
}

#[test]
fn slow_requests_are_logged_by_their_id_and_without_the_ids_in_their_path() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let log = folder.path().join("log");
    let mut command = cli(&store);
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--allow-anonymous"]);
    command.args(["--slow", "0s"]).env("SPACEFOLD_LOG", "warn");
    let served = Served::by(command.stderr(fs::File::create(&log).unwrap()));
    served.ask("GET /v1/spaces/secret?at=0", "X-Request-Id: of-a-test\r\n", "").unwrap();
    served.signal("TERM");
    assert_eq!(served.code(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    let line =
        log.lines().find(|line| line.contains("of-a-test")).unwrap_or_else(|| panic!("{log}"));
    for part in ["slow", "GET", "/v1/spaces/{space}", "ms="] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn the_book_of_the_demo_is_looked_at_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = cli(&folder.path().join("unused"));
    let served = Served::by(demo.args(["demo", "--serve", "--json"]).env("TMPDIR", folder.path()));
    assert!(served.address.ip().is_loopback());
    let (status, page) = served.ask("GET /", "Accept: text/html\r\n", "").unwrap();
    assert_eq!(status, 200, "{page}");
    let head = page.split_once("data-head>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
    assert_eq!(head.replace(|c: char| !c.is_ascii_digit(), ""), "25557");
    served.signal("INT");
    assert_eq!(served.code(), Some(0));
    // What was in use is gone with it.
    let left = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains("demo");
    assert!(!fs::read_dir(folder.path()).unwrap().map(Result::unwrap).any(left));
}
