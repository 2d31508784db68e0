//! The service: a process of its own, which all tests share.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Names the program to start instead of the first `moto_server` of the path.
const PROGRAM: &str = "SPACEFOLD_S3_SERVER";
/// Where it is set a machine without the program fails the tests.
const REQUIRED: &str = "SPACEFOLD_REQUIRE_S3";
/// The bucket that all tests share: each has a prefix of its own.
const BUCKET: &str = "backups";

/// A service that runs for as long as the tests do.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    _process: Process,
}

/// A child that ends with this process: its standard input is a pipe of ours.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

static SERVICE: LazyLock<Option<Service>> = LazyLock::new(|| {
    let program = env::var(PROGRAM).unwrap_or_else(|_| "moto_server".to_owned());
    // It ends when its standard input does, however this process ends.
    let script = "\"$0\" -H 127.0.0.1 -p 0 & server=$!; cat >/dev/null; kill $server";
    let mut command = Command::new("sh");
    command.args(["-c", script, &program]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    let said = BufReader::new(child.stderr.take()?);
    let process = Process(child);
    let mut lines = said.lines().map_while(Result::ok);
    // ` * Running on http://127.0.0.1:39383`
    let address = lines.find_map(|line| {
        let (_, address) = line.split_once("Running on http://")?;
        address.trim().parse().ok()
    })?;
    // What it says of each request goes nowhere, but is read.
    std::thread::spawn(move || lines.for_each(drop));
    let service = Service { address, _process: process };
    service.create_bucket();
    Some(service)
});

impl Service {
    /// The service; `None`, and why, where this machine has none.
    pub(crate) fn get() -> Option<&'static Self> {
        if SERVICE.is_none() {
            assert!(env::var_os(REQUIRED).is_none(), "no service can be started here");
            println!("skipped: no service of this kind (moto_server) can be started here");
        }
        SERVICE.as_ref()
    }

    /// A prefix that nothing else has, as a URL.
    pub(crate) fn next_url() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("s3://{BUCKET}/case/{}", NEXT.fetch_add(1, Ordering::AcqRel))
    }

    fn create_bucket(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!("PUT /{BUCKET} HTTP/1.1\r\nHost: {}\r\n", self.address);
        let signed = "Authorization: AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, \
                      SignedHeaders=host, Signature=0\r\n";
        let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(format!("{head}{signed}{end}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
