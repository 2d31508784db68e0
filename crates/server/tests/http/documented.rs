//! The page about HTTP: every line that it has is sent, and every path has one.

use std::{fs, path::Path};

use spacefold::Spacefold;

use crate::client::Server;

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join("docs/http.md")).unwrap()
}

/// The words of a command line: quoted ones whole.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => rest[1..].split_once(first).expect("a quote that ends"),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// A request as a line of curl says it.
struct Request {
    method: Option<String>,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn of(line: &str) -> Self {
        let (mut method, mut path, mut headers, mut body) = (None, None, Vec::new(), String::new());
        let mut words = words(line).into_iter().skip(1);
        while let Some(word) = words.next() {
            let mut next = || words.next().expect("an argument");
            match &*word {
                "-N" => {}
                "-o" => drop(next()),
                "-X" => method = Some(next()),
                "-d" => body = next(),
                "-H" => {
                    let header = next();
                    let (name, value) = header.split_once(": ").unwrap();
                    headers.push((name.to_owned(), value.to_owned()));
                }
                url => path = Some(url.strip_prefix("$URL").expect("a URL").to_owned()),
            }
        }
        Self { method, path: path.expect("a URL"), headers, body }
    }

    fn method(&self) -> &str {
        let default = if self.body.is_empty() { "GET" } else { "POST" };
        self.method.as_deref().unwrap_or(default)
    }
}

/// The lines of the page, and then those of the page on how to read.
fn requests() -> Vec<Request> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let how_to_read = fs::read_to_string(root.join("docs/guide/how-to-read.md")).unwrap();
    [page(), how_to_read]
        .concat()
        .lines()
        .filter(|line| line.starts_with("curl "))
        .map(Request::of)
        .collect()
}

#[test]
fn every_line_of_the_page_is_answered_well() {
    let server = Server::of(Spacefold::in_memory().unwrap());
    let requests = requests();
    assert!(requests.len() > 25, "where are the lines?");
    let (mut session, mut job) = (String::new(), String::new());
    for request in requests {
        let said =
            |(name, value): &(String, String)| (name.clone(), value.replace("$SESSION", &session));
        let headers: Vec<(String, String)> = request.headers.iter().map(said).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        if headers.contains(&("Accept", "text/event-stream")) {
            let mut stream = server.stream(&request.path, &[]);
            assert_eq!(stream.status, 200, "{}", request.path);
            stream.until("caught-up");
            continue;
        }
        let body = request.body.as_bytes();
        let path = request.path.replace("$JOB", &job);
        let answer = server.send(request.method(), &path, &headers, body);
        assert!((200..300).contains(&answer.status), "{}: {}", request.path, answer.text());
        assert_eq!(answer.body.is_empty(), answer.status == 204, "{}", request.path);
        if let Some(begun) = answer.headers.get("spacefold-session") {
            session.clone_from(begun);
        }
        if let Some(begun) = answer.headers.get("location") {
            job = begun.rsplit('/').next().unwrap().to_owned();
        }
    }
}

#[test]
fn every_path_has_a_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = fs::read_to_string(root.join("src/resources.rs")).unwrap();
    let requests = requests();
    let routes = code.split(".route(\"").skip(1);
    let patterns: Vec<&str> = routes.filter_map(|route| route.split('"').next()).collect();
    assert!(patterns.len() > 10, "where are the routes?");
    for pattern in patterns {
        let parts: Vec<&str> = pattern.split('/').collect();
        let is_of = |request: &&Request| {
            let path = request.path.split('?').next().unwrap();
            let own: Vec<&str> = path.split('/').collect();
            let mut pairs = own.iter().zip(&parts);
            own.len() == parts.len()
                && pairs.all(|(own, part)| own == part || part.starts_with('{'))
        };
        assert!(requests.iter().any(|request| is_of(&request)), "{pattern} has no line");
    }
}

#[test]
fn every_code_is_on_the_page() {
    let page = page();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut codes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let code = fs::read_to_string(&path).unwrap();
            let product = code.split("#[cfg(test)]").next().unwrap();
            for maker in ["bad_request(", "not_found(", "unavailable(", "conflict("] {
                for made in product.split(maker).skip(1) {
                    let Some(name) = made.trim_start().strip_prefix('"') else { continue };
                    let name = name.split('"').next().unwrap();
                    assert!(page.contains(&format!("`{name}`")), "{name} of {}", path.display());
                    codes += 1;
                }
            }
        }
    }
    assert!(codes > 30, "where are the codes?");
}
