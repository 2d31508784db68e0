//! Content, by its hash.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use spacefold::content::{ContentError, ContentHash, ContentReader};
use ureq::http::Method;

use crate::{
    client::Client,
    client_error::ClientError,
    exchange::{Ask, AskBody, AskedServer, JSON},
    request_target::RequestTarget,
};

/// The form of bytes that are nothing else.
const BYTES: &str = "application/octet-stream";

/// Bytes that are read together; the last of them are given once all have the hash.
const PIECE_BYTES: usize = 64 << 10;

fn content(hash: &ContentHash) -> RequestTarget {
    RequestTarget::path("/v1/contents").part(hash)
}

impl Client {
    /// Opens content by its hash, to be read as it comes. It is checked here too: the last bytes are given
    /// once all are known to have the hash.
    ///
    /// # Errors
    /// [`ClientError`]; what [`content_error`](crate::ServerProblem::content_error) tells apart. Reading
    /// fails with a [`ContentError::Damaged`] where it has another hash.
    pub fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ClientError> {
        let answer = self.ask(Ask::get(content(hash), BYTES))?;
        let bytes = answer.number("content-length");
        let bytes = bytes.ok_or_else(|| answer.asked.unexpected("content without a length"))?;
        let (from, asked) = answer.into_reader();
        let checked = HashedAnswer {
            from: Box::new(from),
            asked,
            hash: *hash,
            hasher: blake3::Hasher::new(),
            left: bytes,
            piece: Vec::new(),
            given: 0,
        };
        Ok(ContentReader::new(bytes, Box::new(checked)))
    }

    /// Whether the store has content.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn has_content(&self, hash: &ContentHash) -> Result<bool, ClientError> {
        match self.open_content(hash) {
            Ok(_) => Ok(true),
            Err(ClientError::Problem(problem)) if problem.code() == "content_missing" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores content of so many bytes under its hash, as it is read: it is durable when this is answered.
    /// It is sent once: what was read is gone.
    ///
    /// # Errors
    /// [`ClientError`]: a problem `content_hash_mismatch` where it has another hash. Nothing is stored then.
    pub fn put_content(
        &self,
        hash: &ContentHash,
        from: &mut dyn Read,
        bytes: u64,
    ) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        struct WrittenContent {
            bytes: u64,
        }
        let mut ask = Ask::get(content(hash), JSON);
        ask.method = Method::PUT;
        ask.body = AskBody::Bytes(from, bytes);
        let (stored, asked): (WrittenContent, _) = self.ask_json_noted(ask)?;
        match stored.bytes == bytes {
            true => Ok(()),
            false => Err(asked.unexpected("another number of bytes was stored")),
        }
    }
}

/// Content that is hashed as it comes.
struct HashedAnswer {
    from: Box<dyn Read + Send>,
    asked: AskedServer,
    hash: ContentHash,
    hasher: blake3::Hasher,
    /// Bytes that have not come.
    left: u64,
    piece: Vec<u8>,
    given: usize,
}

impl HashedAnswer {
    fn read_piece(&mut self) -> io::Result<()> {
        self.given = 0;
        self.piece.clear();
        let most = self.left.min(PIECE_BYTES as u64);
        let read = self.from.by_ref().take(most).read_to_end(&mut self.piece);
        let read = read.map_err(|error| io::Error::other(self.asked.failed_io(error)))?;
        self.left = self.left.saturating_sub(read as u64);
        self.hasher.update(&self.piece);
        let is_cut = (read as u64) < most;
        let is_other = self.left == 0 && self.hasher.finalize().as_bytes() != self.hash.as_bytes();
        if is_cut || is_other {
            self.piece.clear();
            let what = if is_cut { "it came cut short" } else { "it came with another hash" };
            let damaged = ContentError::Damaged { hash: self.hash, what: what.to_owned() };
            return Err(io::Error::other(damaged));
        }
        Ok(())
    }
}

impl BufRead for HashedAnswer {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given >= self.piece.len() && self.left > 0 {
            self.read_piece()?;
        }
        Ok(self.piece.get(self.given..).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.given = self.given.saturating_add(bytes);
    }
}

impl Read for HashedAnswer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let read = piece.len().min(buffer.len());
        let (from, to) = (piece.get(..read), buffer.get_mut(..read));
        if let (Some(from), Some(to)) = (from, to) {
            to.copy_from_slice(from);
        }
        self.consume(read);
        Ok(read)
    }
}
