//! A listener that answers each connection with bytes of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use spacefold_client::{Client, ClientOptions};

/// What is done to one request, whose head and body were read.
pub(crate) type Turn = Box<dyn FnMut(&mut TcpStream) + Send>;

/// A server that takes its turns, one a connection; after the last it answers nothing more.
pub(crate) struct Turns {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Turns {
    pub(crate) fn of(turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for mut turn in turns {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let Some(request) = read_request(&stream) else { continue };
                noted.lock().unwrap().push(request);
                turn(&mut stream);
            }
        });
        Self { url, asked }
    }

    /// A server that answers once, with these bytes.
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(vec![giving(bytes)])
    }

    /// A client of it that tries nothing again.
    pub(crate) fn client(&self) -> Client {
        self.client_that_retries(Duration::ZERO)
    }

    pub(crate) fn client_that_retries(&self, retry_for: Duration) -> Client {
        let mut options = ClientOptions::default();
        options.retry_for = retry_for;
        options.silence_timeout = Duration::from_millis(200);
        Client::new(self.url.parse().unwrap(), options)
    }

    /// The first lines of the requests that came, each with its body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) fn giving(bytes: impl Into<Vec<u8>>) -> Turn {
    let bytes = bytes.into();
    Box::new(move |stream| {
        // Whoever has enough closes.
        let _ = stream.write_all(&bytes);
    })
}

/// A head with a length, and the body.
pub(crate) fn answer(status: &str, form: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {form}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(format!("{} {}", first.trim_end(), String::from_utf8_lossy(&body)))
}
