//! Content: stored by its hash, read whole or in part.

use spacefold::{Spacefold, content::ContentHash, log::LogReader};
use spacefold_server::Settings;

use crate::client::Server;

/// Bytes that no compression makes few of.
fn large(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(&mut next).take(bytes).collect()
}

#[test]
fn content_is_put_and_read_by_its_hash() {
    let spaces = Spacefold::in_memory().unwrap();
    let server = Server::of(spaces.clone());
    for content in [large(3_000_000), b"# Hello".to_vec(), Vec::new()] {
        let hash = ContentHash::of(&content);
        let path = format!("/v1/contents/{hash}");
        server.get(&path).problem(404, "content_missing");
        let put = server.send("PUT", &path, &[], &content);
        assert_eq!(put.status, 201, "{}", put.text());
        assert_eq!(put.json()["bytes"], content.len());
        assert_eq!(server.send("PUT", &path, &[], &content).status, 200);
        let got = server.get(&path);
        assert_eq!((got.status, got.body.len()), (200, content.len()));
        assert!(got.body == content);
        assert_eq!(got.header("cache-control"), "max-age=31536000, immutable");
        assert_eq!(got.header("etag"), format!("\"{hash}\""));
        let safe = ["content-type", "x-content-type-options", "content-security-policy"];
        let safe = safe.map(|name| got.header(name).to_owned());
        assert_eq!(safe, ["application/octet-stream", "nosniff", "sandbox"]);
        let known = [("If-None-Match", &*format!("\"{hash}\""))];
        assert_eq!(server.get_with(&path, &known).status, 304);
    }
    let hash = ContentHash::of(b"something else");
    let other = server.send("PUT", &format!("/v1/contents/{hash}"), &[], b"not this");
    other.problem(422, "content_hash_mismatch");
    server.get(&format!("/v1/contents/{hash}")).problem(404, "content_missing");
    server.get("/v1/contents/xyz").problem(400, "invalid_path");
    server.get(&format!("/v1/contents/{}", "AB".repeat(32))).problem(400, "invalid_path");
}

#[test]
fn a_part_of_content_is_answered() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    let content = large(2_000_000);
    let hash = ContentHash::of(&content);
    let path = format!("/v1/contents/{hash}");
    server.send("PUT", &path, &[], &content);
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=1500000-", 1_500_000, 2_000_000),
        ("bytes=-7", 1_999_993, 2_000_000),
        ("bytes=65535-65537", 65_535, 65_538),
    ] {
        let part = server.get_with(&path, &[("Range", range)]);
        assert_eq!(part.status, 206, "{range}");
        let expected = format!("bytes {from}-{}/2000000", to - 1);
        assert_eq!(part.header("content-range"), expected);
        assert!(part.body == content[from..to], "{range}");
    }
    let beyond = server.get_with(&path, &[("Range", "bytes=2000000-")]);
    beyond.problem(416, "range_not_satisfiable");
    assert_eq!(beyond.header("content-range"), "bytes */2000000");
    let other = [("Range", "bytes=0-0"), ("If-Range", "\"other\"")];
    assert_eq!(server.get_with(&path, &other).body.len(), 2_000_000);
}

#[test]
fn the_content_of_a_document_is_that_of_the_moment() {
    let (spaces, server) = Server::of_handbook();
    spaces.service().set_content("handbook", "intro", b"# Bye").unwrap();
    let path = "/v1/spaces/handbook/documents/intro/content";
    assert_eq!(server.get(path).body, b"# Bye");
    assert_eq!(server.get(path).header("cache-control"), "no-cache");
    assert_eq!(server.get(&format!("{path}?at=8")).body, b"# Hello");
    server.get(&format!("{path}?at=2")).problem(404, "no_content");
    server.get(&format!("{path}?at=1")).problem(404, "unknown_document");
    let timeline = spaces.log().identity().timeline;
    let kept = server.get(&format!("{path}?at=8&timeline={timeline}"));
    assert_eq!(kept.header("cache-control"), "max-age=31536000, immutable");
    let part = server.get_with(path, &[("Range", "bytes=2-")]);
    assert_eq!((part.status, part.text()), (206, "Bye"));
    let hash = serde_json::json!({ "document_id": "more", "hash": "of another system" });
    server.post("/v1/spaces/handbook/set_content_hash", &hash.to_string()).ok();
    let foreign = "/v1/spaces/handbook/documents/more/content";
    server.get(foreign).problem(404, "foreign_hash");
}

#[test]
fn content_beyond_the_limit_is_not_taken() {
    let mut settings = Settings::default();
    settings.limits.max_content_bytes = 1_000;
    settings.limits.max_uploads = 1;
    let server = Server::with(Spacefold::in_memory().unwrap(), settings);
    let (fits, beyond) = (large(1_000), large(1_001));
    let path = |content: &[u8]| format!("/v1/contents/{}", ContentHash::of(content));
    assert_eq!(server.send("PUT", &path(&fits), &[], &fits).status, 201);
    let refused = server.send("PUT", &path(&beyond), &[], &beyond);
    assert_eq!(refused.problem(413, "body_too_large")["limit"], 1_000);
    // The one that may arrive has arrived.
    assert_eq!(server.send("PUT", &path(&fits), &[], &fits).status, 200);
}
