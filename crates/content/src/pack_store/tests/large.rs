//! Contents that are large enough to be taken in and given out by several threads.

use std::io::BufRead as _;

use super::*;

/// A source that gives so many bytes, then does something, and goes on.
struct Source<'a> {
    content: &'a [u8],
    given: usize,
    after: usize,
    act: &'a mut dyn FnMut() -> io::Result<()>,
}

impl io::Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.after {
            self.after = usize::MAX;
            (self.act)()?;
        }
        let count = io::Read::read(&mut &self.content[self.given..], buffer)?;
        self.given += count;
        Ok(count)
    }
}

/// Where the first chunk of a content is that is not among the first so many.
fn chunk_at(store: &PackStore, hash: &ContentHash, nth: usize) -> (PathBuf, u64) {
    let chunk = store.shared.list(hash).unwrap().chunks[nth];
    let place = store.shared.index().get(&chunk.hash).unwrap();
    (PathBuf::from(store.shared.files.name(place.pack)), u64::from(place.offset))
}

#[test]
fn large_content_is_given_back_and_lies_as_a_small_one_does() {
    let fixture = Fixture::new();
    let store = PackStore::open(&fixture.path()).unwrap();
    let text: Vec<u8> =
        (0..400_000_u32).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    // What repeats is stored once, and is more than what is synced while it is read.
    let repeated = noise(300_000, 3).repeat(120);
    for content in [noise(5_000_000, 1), text, repeated] {
        let hash = put(&store, &content);
        assert!(get(&store, &hash) == content);
        assert_eq!(store.put_hashed(HashedContent::of(&content)).unwrap().hash, hash);
        // One after the other, the chunks are the content.
        let (mut reader, mut lent) = (store.open(&hash).unwrap(), Vec::new());
        loop {
            let bytes = reader.fill_buf().unwrap();
            if bytes.is_empty() {
                break;
            }
            let some = bytes.len().min(40_000);
            lent.extend_from_slice(&bytes[..some]);
            reader.consume(some);
        }
        assert!(lent == content);
        let list = store.shared.list(&hash).unwrap();
        let mut start = 0;
        for chunk in &list.chunks {
            let end = start + usize::try_from(chunk.bytes).unwrap();
            assert_eq!(ContentHash::of(&content[start..end]), chunk.hash);
            start = end;
        }
        assert_eq!(start, content.len());
    }
    store.close().unwrap();
    assert_eq!(fixture.verify().problems, []);
}

#[test]
fn a_source_that_fails_leaves_no_content() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(4_000_000, 2);
    let mut fail = || Err(io::ErrorKind::ConnectionAborted.into());
    let mut source = Source { content: &content, given: 0, after: 3_000_000, act: &mut fail };
    let failed = store.put(&mut source).unwrap_err();
    assert!(matches!(failed, ContentError::Source(_)), "{failed:?}");
    assert!(!store.contains(&ContentHash::of(&content)).unwrap());
    put(&store, &content);
    store.close().unwrap();
    assert_eq!(fixture.verify().problems, []);
}

#[test]
fn a_store_that_is_closed_meanwhile_takes_no_more() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(6_000_000, 2);
    let mut close = || store.close().map_err(io::Error::other);
    let mut source = Source { content: &content, given: 0, after: 3_000_000, act: &mut close };
    let failed = store.put(&mut source).unwrap_err();
    assert!(matches!(failed, ContentError::Closed), "{failed:?}");
    assert!(!fixture.open().contains(&ContentHash::of(&content)).unwrap());
}

#[test]
fn nothing_behind_damage_is_given() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(5_000_000, 4);
    let hash = put(&store, &content);
    let (pack, offset) = chunk_at(&store, &hash, 40);
    let before: u32 =
        store.shared.list(&hash).unwrap().chunks[..40].iter().map(|it| it.bytes).sum();
    store.close().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[usize::try_from(offset).unwrap() + 100] ^= 1;
    fs::write(&pack, bytes).unwrap();

    let store = fixture.open();
    let mut reader = store.open(&hash).unwrap();
    let mut given = Vec::new();
    let failed = reader.read_to_end(&mut given).unwrap_err();
    assert!(given == content[..usize::try_from(before).unwrap()], "{} of {before}", given.len());
    let failed = ContentError::of_reading(hash, failed);
    assert!(matches!(failed, ContentError::Damaged { .. }), "{failed:?}");
    assert!(reader.read(&mut [0]).is_err(), "it goes on after damage");
}

#[test]
fn a_reader_may_be_dropped_anywhere() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(5_000_000, 5);
    let hash = put(&store, &content);
    for bytes in [0, 1, 300_000, 2_000_000, 4_999_999] {
        let mut reader = store.open(&hash).unwrap();
        let mut given = vec![0; bytes];
        reader.read_exact(&mut given).unwrap();
        assert!(given == content[..bytes]);
    }
}
