//! Content whose hash is known when it is put.

use super::*;

#[test]
fn content_whose_hash_is_known_is_stored_as_it_is_without() {
    for bytes in [0, 1, WHOLE_CONTENT_BYTES, WHOLE_CONTENT_BYTES + 1, 700_000] {
        let content = noise(bytes, 9);
        let fixtures = [Fixture::new(), Fixture::new()];
        let [hashed, unhashed] = fixtures.each_ref().map(Fixture::open);
        let stored = hashed.put_hashed(HashedContent::of(&content)).unwrap();
        assert_eq!(stored, unhashed.put(&mut &*content).unwrap(), "{bytes}");
        assert_eq!(hashed.info(), unhashed.info(), "{bytes}");
        assert!(get(&hashed, &stored.hash) == content, "{bytes}");
    }
}
