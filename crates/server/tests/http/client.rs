//! A server in a thread, and requests to it, byte by byte.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;
use spacefold::Spacefold;
use spacefold_server::{Drain, ServedStore, Settings, router, serve};

/// Longer than any answer takes: what hangs is to fail.
const HANGS: Duration = Duration::from_secs(60);

/// A server, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn of(spaces: impl Into<ServedStore>) -> Self {
        Self::with(spaces, Settings::default())
    }

    pub(crate) fn with(spaces: impl Into<ServedStore>, settings: Settings) -> Self {
        let (spaces, drain) = (spaces.into(), settings.drain.clone());
        let (told, bound) = mpsc::channel();
        let serving = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, router(spaces, settings.clone()), &settings).await.unwrap();
            });
        });
        Self { address: bound.recv().unwrap(), drain, serving: Some(serving) }
    }

    /// A store in memory with some history, and its server.
    pub(crate) fn of_handbook() -> (Spacefold, Self) {
        let spaces = handbook();
        let server = Self::of(spaces.clone());
        (spaces, server)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, &[], body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend(headers);
        self.send("POST", path, &all, body.as_bytes())
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut connection = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        // Who is refused early may not have it read.
        let _ = connection.write_all(body);
        Incoming::of(connection).finish()
    }

    /// What bytes that are no proper request are answered with; `None` when with nothing.
    pub(crate) fn send_raw(&self, bytes: &[u8]) -> Option<Answer> {
        let mut connection = self.connect();
        let _ = connection.write_all(bytes);
        Incoming::begin(connection).map(Incoming::finish)
    }

    /// A stream, once its head has come.
    pub(crate) fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Incoming {
        let mut connection = self.connect();
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Accept: text/event-stream\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        Incoming::of(connection)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(HANGS)).unwrap();
        connection.set_write_timeout(Some(HANGS)).unwrap();
        connection
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain.start();
        if let Some(serving) = self.serving.take()
            && serving.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

/// A space with two documents, one of which has content, at eight positions.
pub(crate) fn handbook() -> Spacefold {
    let spaces = Spacefold::in_memory().unwrap();
    let service = spaces.service();
    service.create_space("handbook", "Handbook").unwrap();
    service.add_document("handbook", "intro", "/intro.md").unwrap();
    service.set_content("handbook", "intro", b"# Hello").unwrap();
    service.add_document("handbook", "more", "/more.md").unwrap();
    let digits = "123456789012345678901234567890".parse::<spacefold::Value>().unwrap();
    service.set_variable("handbook", "big", digits).unwrap();
    service.move_document("handbook", "intro", "/start.md").unwrap();
    service.create_space("guide", "Guide").unwrap();
    service.activate_space("handbook").unwrap();
    spaces
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Checks that it is a problem in its form.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["detail"].is_string() && problem["retryable"].is_boolean());
        assert!(["none", "unknown"].contains(&problem["effects"].as_str().unwrap()));
        problem
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An answer whose head has come.
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    reader: BufReader<TcpStream>,
    /// Of a chunked body, what has come of it and was not taken.
    buffered: Vec<u8>,
    has_ended: bool,
}

/// An event of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Streamed {
    pub(crate) event: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

impl Incoming {
    #[track_caller]
    fn of(connection: TcpStream) -> Self {
        Self::begin(connection).expect("an answer")
    }

    fn begin(connection: TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(read) if read > 0 => {}
            _ => return None,
        }
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Some(Self { status, headers, reader, buffered: Vec::new(), has_ended: false })
    }

    fn is_chunked(&self) -> bool {
        self.headers.get("transfer-encoding").is_some_and(|it| it == "chunked")
    }

    /// Reads a chunk; none at the end. `Err` where the body is broken off.
    fn chunk(&mut self) -> Result<bool, ()> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).map_err(drop)? == 0 {
            return Err(());
        }
        let bytes = usize::from_str_radix(line.trim(), 16).map_err(drop)?;
        let mut chunk = vec![0; bytes + 2];
        self.reader.read_exact(&mut chunk).map_err(drop)?;
        chunk.truncate(bytes);
        self.buffered.extend(chunk);
        self.has_ended = bytes == 0;
        Ok(!self.has_ended)
    }

    pub(crate) fn finish(mut self) -> Answer {
        if self.is_chunked() {
            while self.chunk().expect("a body that ends") {}
        } else if let Some(bytes) = self.headers.get("content-length") {
            let mut body = vec![0; bytes.parse().unwrap()];
            // There is none of an answer to HEAD.
            let read = self.reader.read_exact(&mut body);
            self.buffered = if read.is_ok() { body } else { Vec::new() };
        } else if self.status != 304 {
            self.reader.read_to_end(&mut self.buffered).unwrap();
        }
        Answer { status: self.status, headers: self.headers, body: self.buffered }
    }

    /// The next event; `None` at the end. Comments are passed over.
    pub(crate) fn next(&mut self) -> Option<Streamed> {
        loop {
            let end = self.buffered.windows(2).position(|pair| pair == b"\n\n");
            let Some(end) = end else {
                if self.has_ended || !self.chunk().expect("a stream that ends well") {
                    return None;
                }
                continue;
            };
            let text: Vec<u8> = self.buffered.drain(..end + 2).collect();
            let text = String::from_utf8(text).unwrap();
            let field = |name: &str| {
                let lines = text.lines().filter_map(|line| line.split_once(": "));
                lines.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
            };
            let Some(event) = field("event") else { continue };
            let id = field("id").map(|id| id.parse().unwrap());
            let data = serde_json::from_str(&field("data").unwrap()).unwrap();
            return Some(Streamed { event, id, data });
        }
    }

    /// Everything up to an event of this name, that included.
    #[track_caller]
    pub(crate) fn until(&mut self, name: &str) -> Vec<Streamed> {
        let mut seen = Vec::new();
        while let Some(event) = self.next() {
            let is_it = event.event == name;
            seen.push(event);
            if is_it {
                return seen;
            }
        }
        panic!("the stream ends without {name}: {seen:?}");
    }
}
