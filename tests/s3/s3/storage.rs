//! What the seam promises, of a bucket.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use spacefold_objects::{ObjectErrorKind, ObjectKey, ObjectStorage, S3Options, S3Storage};

use crate::{
    proxy::{Proxy, Trouble},
    service::Service,
};

/// How long is waited for an answer that does not come.
const TIMEOUT: Duration = Duration::from_millis(400);

fn options() -> S3Options {
    S3Options::default().credentials("any", "any")
}

/// The storage of a URL, which tries each call this often.
pub(crate) fn storage(url: &str, endpoint: &str, tries: usize) -> Arc<S3Storage> {
    let options = options().endpoint(endpoint).timeout(TIMEOUT);
    let options = options.tries(tries, Duration::from_millis(1));
    Arc::new(S3Storage::at(url, options).unwrap())
}

/// One straight to the service, which waits for as long as a busy machine takes.
pub(crate) fn straight(url: &str, service: &Service) -> Arc<S3Storage> {
    let options = options().endpoint(format!("http://{}", service.address));
    Arc::new(S3Storage::at(url, options).unwrap())
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text)
}

#[test]
fn a_bucket_keeps_what_it_is_given_and_lists_it_in_order() {
    let Some(service) = Service::get() else { return };
    let storage = straight(&Service::next_url(), service);
    assert_eq!(storage.get(&key("a/b"), 10).unwrap(), None);
    assert_eq!(storage.list_all("a").unwrap(), Vec::<String>::new());
    assert!(storage.put_new(&key("a/b"), b"one").unwrap());
    assert!(!storage.put_new(&key("a/b"), b"one").unwrap());
    assert_eq!(storage.get(&key("a/b"), 10).unwrap().unwrap(), b"one");
    assert_eq!(storage.get(&key("a/b"), 1).unwrap().unwrap(), b"on");
    storage.put(&key("a/b"), b"").unwrap();
    assert_eq!(storage.get(&key("a/b"), 10).unwrap().unwrap(), b"");
    let names: Vec<String> = (0..23).map(|it| format!("{it:02}")).collect();
    for name in names.iter().rev() {
        storage.put(&key(&format!("log/{name}")), name.as_bytes()).unwrap();
    }
    storage.put(&key("log/below/1"), b"").unwrap();
    storage.put(&key("logs"), b"").unwrap();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = storage.list("log", after.as_deref(), 7).unwrap();
        assert!(page.len() <= 7);
        after = page.last().cloned().or(after);
        let is_last = page.len() < 7;
        listed.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(listed, names);
    assert_eq!(storage.list_all("log").unwrap(), names);
    assert_eq!(storage.list_all("").unwrap(), ["logs"]);
    let all: Vec<ObjectKey> = names.iter().map(|name| key(&format!("log/{name}"))).collect();
    storage.remove(&all).unwrap();
    storage.remove(&all).unwrap();
    assert_eq!(storage.list_all("log").unwrap(), Vec::<String>::new());
}

#[test]
fn an_object_is_put_once_by_one_of_many() {
    let Some(service) = Service::get() else { return };
    let url = Service::next_url();
    for round in 0..20 {
        let key = key(&format!("log/{round}"));
        let all: Vec<_> = (0..6_u8)
            .map(|who| {
                let (storage, key) = (straight(&url, service), key.clone());
                thread::spawn(move || storage.put_new(&key, &[who; 1_000]).unwrap())
            })
            .collect();
        let won: Vec<bool> = all.into_iter().map(|it| it.join().unwrap()).collect();
        let winners: Vec<u8> = (0..).zip(&won).filter(|(_, won)| **won).map(|it| it.0).collect();
        let there = straight(&url, service).get(&key, 1_000).unwrap().unwrap();
        assert_eq!(winners, [there[0]], "round {round}");
    }
}

/// Puts, gets, lists and removes, and holds each answer against what may be there.
#[test]
fn each_call_may_go_wrong_and_says_what_is_known() {
    let Some(service) = Service::get() else { return };
    let proxy = Proxy::before(service.address);
    for trouble in Trouble::ALL {
        for call in 1..=9 {
            let url = Service::next_url();
            let storage = storage(&url, &proxy.endpoint(), 1);
            proxy.go_wrong(call, 1, trouble);
            // What may be there: with it, that it may be missing.
            let put = storage.put(&key("a/1"), b"one");
            let new = storage.put_new(&key("a/2"), b"two");
            let got = storage.get(&key("a/1"), 10);
            let listed = storage.list_all("a");
            let removed = storage.remove(&[key("a/1")]);
            proxy.go_well();
            let real = straight(&url, service);
            let two = real.get(&key("a/2"), 10).unwrap();
            match new {
                Ok(is_new) => assert!(is_new && two.as_deref() == Some(b"two")),
                Err(error) => {
                    println!("{trouble:?} {call}: {error}");
                    assert!(error.is_retryable());
                    assert!(two.is_none() || error.is_outcome_unknown());
                }
            }
            match &put {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ObjectErrorKind::OutcomeUnknown),
            }
            match got {
                Ok(Some(bytes)) => assert!(bytes == b"one" || trouble == Trouble::Repeated),
                Ok(None) => assert!(put.is_err()),
                Err(error) => assert_eq!(error.kind(), ObjectErrorKind::Unavailable),
            }
            match listed {
                Ok(names) => {
                    let is_right = names == ["1", "2"] || put.is_err() || two.is_none();
                    assert!(is_right || trouble == Trouble::Repeated, "{names:?}");
                }
                Err(error) => assert!(error.is_retryable()),
            }
            match removed {
                Ok(()) => assert_eq!(real.get(&key("a/1"), 10).unwrap(), None),
                Err(error) => assert!(error.is_outcome_unknown(), "{error}"),
            }
        }
    }
}

#[test]
fn a_call_that_goes_wrong_is_made_again_and_what_it_put_is_its_own() {
    let Some(service) = Service::get() else { return };
    let proxy = Proxy::before(service.address);
    for trouble in Trouble::ALL.into_iter().filter(|it| *it != Trouble::Repeated) {
        for call in 1..=8 {
            let url = Service::next_url();
            let storage = storage(&url, &proxy.endpoint(), 4);
            proxy.go_wrong(call, 1, trouble);
            assert!(storage.put_new(&key("log/1"), b"one").unwrap(), "{trouble:?} {call}");
            assert!(!storage.put_new(&key("log/1"), b"two").unwrap(), "{trouble:?} {call}");
            assert_eq!(storage.get(&key("log/1"), 9).unwrap().unwrap(), b"one");
            assert_eq!(storage.list_all("log").unwrap(), ["1"]);
            storage.remove(&[key("log/1")]).unwrap();
            proxy.go_well();
            assert_eq!(straight(&url, service).get(&key("log/1"), 9).unwrap(), None);
        }
        // Without end it is told.
        let storage = storage(&Service::next_url(), &proxy.endpoint(), 2);
        if !matches!(trouble, Trouble::Twice) {
            proxy.go_wrong(1, u64::MAX, trouble);
            let refused = storage.put_new(&key("log/1"), b"one").unwrap_err();
            assert!(refused.is_retryable(), "{refused}");
            proxy.go_well();
        }
    }
}

#[test]
fn a_place_that_is_none_is_refused_for_good() {
    let Some(service) = Service::get() else { return };
    let endpoint = format!("http://{}", service.address);
    let storage = |url: &str| S3Storage::at(url, options().endpoint(&endpoint));
    let none = storage("s3://no-such-bucket/x").unwrap();
    let refused = none.put(&key("a"), b"x").unwrap_err();
    assert_eq!(refused.kind(), ObjectErrorKind::Refused, "{refused}");
    let refused = none.put_new(&key("a"), b"x").unwrap_err();
    assert_eq!(refused.kind(), ObjectErrorKind::Refused, "{refused}");
    assert_eq!(storage("http://bucket/x").unwrap_err().kind(), ObjectErrorKind::Refused);
}

/// A service that takes `If-None-Match: *` and does nothing about it.
#[test]
fn a_service_that_ignores_conditions_is_refused_by_name() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let methods: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let seen = Arc::clone(&methods);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.extend(byte);
            }
            let text = String::from_utf8_lossy(&head).to_lowercase();
            let length = text
                .split("content-length: ")
                .nth(1)
                .and_then(|it| it.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = stream.read_exact(&mut body);
            let method = text.split(' ').next().unwrap_or_default().to_owned();
            *seen.lock().unwrap().entry(method).or_default() += 1;
            let answer =
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let storage = S3Storage::at("s3://bucket/x", options().endpoint(endpoint)).unwrap();
    for _ in 0..2 {
        let refused = storage.put_new(&key("a"), b"x").unwrap_err();
        assert_eq!(refused.kind(), ObjectErrorKind::Unconditional, "{refused}");
        assert!(!refused.is_retryable());
    }
    // Two of each try, and nothing of the object itself.
    assert_eq!(methods.lock().unwrap().get("put"), Some(&4));
}
