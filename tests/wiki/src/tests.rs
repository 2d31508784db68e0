//! The wiki over a socket: saved, shown, told live, and closed while a reader listens.

use std::{io, net::SocketAddr};

use spacefold::Spacefold;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{Failure, SPACE, serve};

/// A request that was sent, and its answer to be read.
async fn send(to: SocketAddr, line: &str, body: &str) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(to).await?;
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nhost: wiki\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    Ok(BufReader::new(stream))
}

async fn answer(to: SocketAddr, line: &str, body: &str) -> io::Result<String> {
    let mut text = String::new();
    send(to, line, body).await?.read_to_string(&mut text).await?;
    Ok(text)
}

/// Reads on to a line that begins so.
async fn line_of(stream: &mut BufReader<TcpStream>, begin: &str) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with(begin) {
            return Ok(line);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_saved_shown_and_told_live_and_shutdown_waits_for_no_reader()
-> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let wiki = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve(Spacefold::open(&data)?, listener, stopped));

    assert!(answer(wiki, "PUT /start", "one <b>").await?.starts_with("HTTP/1.1 204"));
    assert!(answer(wiki, "GET /start/text", "").await?.ends_with("one <b>"));
    assert!(answer(wiki, "GET /start", "").await?.contains("one &lt;b>"));
    assert!(answer(wiki, "GET /", "").await?.contains("<a href=\"/start\">"));

    let mut changes = send(wiki, "GET /start/changes", "").await?;
    // The subscription is there before the answer is.
    assert!(line_of(&mut changes, "HTTP/1.1").await?.contains("200"));
    assert!(answer(wiki, "PUT /other", "not listened to").await?.starts_with("HTTP/1.1 204"));
    assert!(answer(wiki, "PUT /start", "two").await?.starts_with("HTTP/1.1 204"));
    // After the creation: two events of the first page, two of the other, one of the change.
    assert_eq!(line_of(&mut changes, "data:").await?, "data: 6\n");

    stop.send(()).map_err(|()| "the server has ended by itself")?;
    let mut rest = Vec::new();
    changes.read_to_end(&mut rest).await?;
    serving.await??;

    let spaces = Spacefold::open(&data)?;
    let hash = spaces.snapshot(SPACE)?.content("start").ok_or("the page is gone")?;
    assert_eq!(spaces.read_content(&hash, 100)?, b"two");
    spaces.close()?;
    Ok(())
}
