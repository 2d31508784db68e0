//! A proxy before the service, of which one call goes wrong, or every call from one on.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is answered with this status, and was not done.
    Refused(u16),
    /// It is done, and answered with 500.
    DoneAndRefused,
    /// It is done, and no answer comes: the connection stays.
    Silence,
    /// It is done, and the connection ends in the midst of the answer.
    Truncated,
    /// It is done twice, and answered for the second time.
    Twice,
    /// Its answer is that of the call of this method before it.
    Repeated,
}

impl Trouble {
    pub(crate) const ALL: [Self; 7] = [
        Self::Refused(500),
        Self::Refused(503),
        Self::DoneAndRefused,
        Self::Silence,
        Self::Truncated,
        Self::Twice,
        Self::Repeated,
    ];
}

/// A proxy, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<ProxyState>,
}

#[derive(Debug)]
struct ProxyState {
    service: SocketAddr,
    calls: AtomicU64,
    /// From this call on, how many, and how.
    trouble: Mutex<Option<(u64, u64, Trouble)>>,
    /// The last answer to each method.
    last: Mutex<Vec<(String, Vec<u8>)>>,
    /// Connections that get no answer.
    silent: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Proxy {
    pub(crate) fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(ProxyState {
            service,
            calls: AtomicU64::new(0),
            trouble: Mutex::new(None),
            last: Mutex::default(),
            silent: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&accepting);
                thread::spawn(move || {
                    // The client may have gone away.
                    let _ = state.serve(stream);
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Counts from here on, and has these calls go wrong.
    pub(crate) fn go_wrong(&self, from: u64, count: u64, trouble: Trouble) {
        *self.state.trouble.lock().unwrap() = Some((from, count, trouble));
        self.state.calls.store(0, Ordering::Release);
        self.state.last.lock().unwrap().clear();
    }

    /// Nothing goes wrong any more.
    pub(crate) fn go_well(&self) {
        *self.state.trouble.lock().unwrap() = None;
        self.state.silent.lock().unwrap().clear();
    }

    /// Calls since then.
    pub(crate) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Release);
        self.state.silent.lock().unwrap().clear();
        // It sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

/// A request or an answer: its first line and headers, and its body.
struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    /// Reads one; `None` where the other side has ended.
    fn read(from: &mut impl io::BufRead, is_to_head: bool) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            head.push(line.to_owned());
        }
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = Vec::new();
        match length {
            _ if is_to_head => {}
            Some(length) => {
                from.take(length).read_to_end(&mut body)?;
            }
            None if head.first().is_some_and(|first| first.starts_with("HTTP/")) => {
                from.read_to_end(&mut body)?;
            }
            None => {}
        }
        Ok(Some(Self { head, body }))
    }

    /// Its bytes, for a connection that ends after it.
    fn bytes(&self) -> Vec<u8> {
        let is_kept = |line: &&String| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("connection")
        };
        let mut lines: Vec<&str> = self.head.iter().filter(is_kept).map(String::as_str).collect();
        lines.push("Connection: close");
        let mut bytes = lines.join("\r\n").into_bytes();
        bytes.extend(b"\r\n\r\n");
        bytes.extend(&self.body);
        bytes
    }

    fn method(&self) -> &str {
        self.head.first().and_then(|line| line.split(' ').next()).unwrap_or_default()
    }
}

impl ProxyState {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut from = BufReader::new(client.try_clone()?);
        let Some(request) = Message::read(&mut from, false)? else { return Ok(()) };
        let call = self.calls.fetch_add(1, Ordering::AcqRel) + 1;
        let trouble = *self.trouble.lock().unwrap();
        let is_in = |(from, count, _): &(u64, u64, Trouble)| call >= *from && call - from < *count;
        let trouble = trouble.filter(is_in).map(|(_, _, trouble)| trouble);
        let refusal = |status: u16| {
            let body = "<Error><Code>Trouble</Code><Message>of the test</Message></Error>";
            let length = body.len();
            format!(
                "HTTP/1.1 {status} Trouble\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .into_bytes()
        };
        let answer = match trouble {
            Some(Trouble::Refused(status)) => refusal(status),
            Some(Trouble::DoneAndRefused) => {
                self.forward(&request)?;
                refusal(500)
            }
            Some(Trouble::Silence) => {
                self.forward(&request)?;
                self.silent.lock().unwrap().push(client);
                return Ok(());
            }
            Some(Trouble::Truncated) => {
                let answer = self.forward(&request)?.bytes();
                let begin = answer.len() * 2 / 3;
                answer[..begin].to_vec()
            }
            Some(Trouble::Twice) => {
                self.forward(&request)?;
                self.forward(&request)?.bytes()
            }
            Some(Trouble::Repeated) => {
                let answer = self.forward(&request)?.bytes();
                let last = self.last.lock().unwrap();
                let before = last.iter().find(|(method, _)| method == request.method());
                before.map_or(answer, |(_, before)| before.clone())
            }
            None => self.forward(&request)?.bytes(),
        };
        let mut last = self.last.lock().unwrap();
        last.retain(|(method, _)| method != request.method());
        last.push((request.method().to_owned(), answer.clone()));
        drop(last);
        client.write_all(&answer)?;
        client.shutdown(std::net::Shutdown::Write)
    }

    fn forward(&self, request: &Message) -> io::Result<Message> {
        let mut service = TcpStream::connect(self.service)?;
        service.write_all(&request.bytes())?;
        let mut from = BufReader::new(service);
        let answer = Message::read(&mut from, request.method() == "HEAD")?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
