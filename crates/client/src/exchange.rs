//! One request and its answer, and trying again.

use std::{
    io::{self, Read},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use ureq::{
    AsSendBody, Body, Error, SendBody, Timeout,
    http::{Method, Request, Response, header, request},
};

use crate::{
    client::Client, client_error::ClientError, request_effects::RequestEffects,
    request_target::RequestTarget, server_problem::ServerProblem,
};

pub(crate) const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
const PROBLEM: &str = "application/problem+json";

/// Bytes of a problem.
const MAX_PROBLEM_BYTES: u64 = 1 << 20;

/// Bytes of an answer that is read whole: a page has 8 MiB, and its last event may be as large again.
pub(crate) const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// How long it is waited before the second attempt; before each further one twice as long.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long it is waited at the most.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A request.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) target: RequestTarget,
    /// The form that the answer is to have.
    pub(crate) accept: &'static str,
    pub(crate) body: AskBody<'a>,
    /// The key under which a command may be repeated.
    pub(crate) key: Option<&'a str>,
    /// Whether doing it twice is doing it once.
    pub(crate) is_repeatable: bool,
    /// How long the server may wait for something to happen.
    pub(crate) wait: Duration,
}

/// What is sent.
pub(crate) enum AskBody<'a> {
    Nothing,
    Json(&'a str),
    /// So many bytes, as they are.
    Bytes(&'a mut dyn Read, u64),
}

impl<'a> Ask<'a> {
    /// To read something.
    pub(crate) fn get(target: RequestTarget, accept: &'static str) -> Self {
        Self {
            method: Method::GET,
            target,
            accept,
            body: AskBody::Nothing,
            key: None,
            is_repeatable: true,
            wait: Duration::ZERO,
        }
    }

    /// To have something done, or to read what takes many words to ask for.
    pub(crate) fn post(target: RequestTarget, accept: &'static str, json: &'a str) -> Self {
        let asked = Self::get(target, accept);
        Self { method: Method::POST, body: AskBody::Json(json), is_repeatable: false, ..asked }
    }

    pub(crate) fn repeatable(mut self, is_repeatable: bool) -> Self {
        self.is_repeatable = is_repeatable;
        self
    }

    /// What is known once it was sent, and nothing was answered.
    fn effects(&self) -> RequestEffects {
        let changes_nothing = self.method == Method::GET || self.target.as_str() == QUERY;
        if changes_nothing { RequestEffects::None } else { RequestEffects::Unknown }
    }
}

/// The path of what is asked by a body, and changes nothing.
pub(crate) const QUERY: &str = "/v1/events/query";

/// What happened to a request: what its errors are made of.
#[derive(Clone, Debug)]
pub(crate) struct AskedServer {
    endpoint: Arc<str>,
    limit: Duration,
    effects: RequestEffects,
}

impl AskedServer {
    pub(crate) fn unexpected(&self, what: impl Into<String>) -> ClientError {
        let endpoint = self.endpoint.to_string();
        ClientError::Unexpected { endpoint, what: what.into(), effects: self.effects }
    }

    fn broken(&self, source: io::Error) -> ClientError {
        let endpoint = self.endpoint.to_string();
        ClientError::Broken { endpoint, source, effects: self.effects }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { endpoint: self.endpoint.to_string(), source }
    }

    fn failed(&self, error: Error) -> ClientError {
        match error {
            Error::Io(error) => self.failed_io(error),
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                self.unreachable(io::ErrorKind::TimedOut.into())
            }
            Error::Timeout(timeout) => ClientError::TimedOut {
                endpoint: self.endpoint.to_string(),
                what: match timeout {
                    Timeout::PerWrite => "and took nothing of what was sent",
                    _ => "and an answer was waited for",
                },
                limit: self.limit,
                effects: self.effects,
            },
            Error::Http(_) | Error::BadUri(_) => ClientError::Unsayable { what: error.to_string() },
            Error::HostNotFound => self.unreachable(io::Error::other("its host is not known")),
            Error::ConnectionFailed | Error::Tls(_) => {
                self.unreachable(io::Error::other(error.to_string()))
            }
            Error::BodyExceedsLimit(limit) => {
                self.unexpected(format!("an answer of more than {limit} bytes"))
            }
            other => self.unexpected(other.to_string()),
        }
    }

    pub(crate) fn failed_io(&self, error: io::Error) -> ClientError {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable,
            NotFound, PermissionDenied,
        };
        if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            return match error.into_inner().map(|inner| inner.downcast::<Error>()) {
                Some(Ok(inner)) => self.failed(*inner),
                _ => self.unexpected("an error of no kind"),
            };
        }
        match error.kind() {
            // What a connection that was made never says.
            ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown | NotFound
            | AddrNotAvailable | PermissionDenied => self.unreachable(error),
            _ => self.broken(error),
        }
    }
}

/// An answer whose head has come and is as it was asked for.
pub(crate) struct ServerAnswer {
    response: Response<Body>,
    pub(crate) asked: AskedServer,
}

impl Client {
    /// Asks, and asks again while that may help, does nothing twice, and there is time.
    pub(crate) fn ask(&self, mut ask: Ask<'_>) -> Result<ServerAnswer, ClientError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.ask_once(&mut ask) {
                Err(error) => error,
                answer => return answer,
            };
            let may = ask.is_repeatable || error.effects() == RequestEffects::None;
            // A body that was read is gone.
            let is_whole = !matches!(ask.body, AskBody::Bytes(..));
            let is_time = began.elapsed() + pause < self.options.retry_for;
            if !(may && is_whole && error.is_passing() && is_time) {
                return Err(error);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    fn ask_once(&self, ask: &mut Ask<'_>) -> Result<ServerAnswer, ClientError> {
        let limit = self.options.silence_timeout + ask.wait;
        let endpoint = self.endpoint.to_string().into();
        let asked = AskedServer { endpoint, limit, effects: ask.effects() };
        let url = format!("{}{}", self.endpoint.base(), ask.target.as_str());
        let mut request =
            Request::builder().method(&ask.method).uri(url).header(header::ACCEPT, ask.accept);
        if let Some(token) = &self.options.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        let sent = match &mut ask.body {
            AskBody::Nothing => self.run(request, (), limit),
            AskBody::Json(text) => {
                self.run(request.header(header::CONTENT_TYPE, JSON), *text, limit)
            }
            AskBody::Bytes(from, bytes) => {
                let mut failed = None;
                let mut noted = NotedBody { from: *from, error: &mut failed };
                let request = request.header(header::CONTENT_LENGTH, *bytes);
                let sent = self.run(request, SendBody::from_reader(&mut noted), limit);
                match failed {
                    Some(error) => return Err(ClientError::Source(error)),
                    None => sent,
                }
            }
        };
        let response = sent.map_err(|error| asked.failed(error))?;
        ServerAnswer { response, asked }.checked(ask.accept)
    }

    fn run(
        &self,
        request: request::Builder,
        body: impl AsSendBody,
        limit: Duration,
    ) -> Result<Response<Body>, Error> {
        let request = request.body(body).map_err(Error::Http)?;
        let request = self.agent.configure_request(request);
        self.agent.run(request.timeout_per_read(Some(limit)).build())
    }

    /// The answer to a request as what it stands for.
    pub(crate) fn ask_json<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, ClientError> {
        self.ask_json_noted(ask).map(|(answer, _)| answer)
    }

    /// The same, with what is wrong with it if more turns out to be.
    pub(crate) fn ask_json_noted<T: DeserializeOwned>(
        &self,
        ask: Ask<'_>,
    ) -> Result<(T, AskedServer), ClientError> {
        let answer = self.ask(ask)?;
        let asked = answer.asked.clone();
        let body = answer.whole(MAX_ANSWER_BYTES)?;
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok((answer, asked)),
            Err(error) => Err(asked.unexpected(error.to_string())),
        }
    }
}

impl ServerAnswer {
    fn checked(self, accept: &str) -> Result<Self, ClientError> {
        let status = self.response.status();
        // Else the end of the connection would be that of the answer, wherever it comes.
        let headers = self.response.headers();
        let is_framed = headers.contains_key(header::CONTENT_LENGTH)
            || headers.contains_key(header::TRANSFER_ENCODING);
        if !is_framed {
            return Err(self.asked.unexpected("an answer that does not say where it ends"));
        }
        let form = self.response.body().mime_type().unwrap_or_default().to_owned();
        if status.is_success() {
            if !form.eq_ignore_ascii_case(accept) {
                return Err(self.asked.unexpected(format!("{form:?} instead of {accept:?}")));
            }
            return Ok(self);
        }
        let asked = self.asked.clone();
        let unexpected = || asked.unexpected(format!("status {status}, and no problem"));
        if !form.eq_ignore_ascii_case(PROBLEM) {
            return Err(unexpected());
        }
        let body = self.whole(MAX_PROBLEM_BYTES)?;
        let problem = ServerProblem::read(status.as_u16(), &body).ok_or_else(unexpected)?;
        Err(ClientError::Problem(Box::new(problem)))
    }

    /// A header of the answer that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.response.headers().get(name)?.to_str().ok()?.parse().ok()
    }

    /// The bytes of the answer, as they come.
    pub(crate) fn into_reader(self) -> (impl Read + Send + 'static, AskedServer) {
        (self.response.into_body().into_reader(), self.asked)
    }

    /// All of the answer.
    pub(crate) fn whole(self, limit: u64) -> Result<Vec<u8>, ClientError> {
        let (reader, asked) = self.into_reader();
        let mut bytes = Vec::new();
        let read = reader.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| asked.failed_io(error))?;
        if bytes.len() as u64 > limit {
            return Err(asked.unexpected(format!("an answer of more than {limit} bytes")));
        }
        Ok(bytes)
    }
}

/// What is sent, and why it could not be read.
struct NotedBody<'a> {
    from: &'a mut dyn Read,
    error: &'a mut Option<io::Error>,
}

impl Read for NotedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer).inspect_err(|error| {
            *self.error = Some(io::Error::new(error.kind(), error.to_string()));
        })
    }
}
