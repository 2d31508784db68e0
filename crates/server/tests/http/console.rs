//! The console: every page is well-formed and whole, every link leads somewhere, nothing that was given
//! becomes markup, and no form is done that another site could send.

use std::collections::{BTreeSet, VecDeque};

use html5ever::{ParseOpts, parse_document, tendril::TendrilSink};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use spacefold::{SpaceEvent, Spacefold, Subscription};
use spacefold_server::{Settings, TokenFile, TokenGrant, TokenRight};

use crate::client::{Answer, Server, handbook};

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&/..";

/// A page, parsed.
struct ParsedPage(RcDom);

impl ParsedPage {
    fn of(text: &str) -> Self {
        let dom = parse_document(RcDom::default(), ParseOpts::default()).one(text);
        // That of a page in standards mode without a mistake.
        assert!(dom.errors.borrow().is_empty(), "{:?} in {text}", dom.errors.borrow());
        Self(dom)
    }

    /// Attributes of this name of all elements of these names.
    fn attributes(&self, elements: &[&str], name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut nodes = VecDeque::from([self.0.document.clone()]);
        while let Some(node) = nodes.pop_front() {
            nodes.extend(node.children.borrow().iter().cloned());
            found.extend(attribute(&node, elements, name));
        }
        found
    }

    fn elements(&self, name: &str) -> usize {
        let mut nodes = VecDeque::from([self.0.document.clone()]);
        let mut count = 0;
        while let Some(node) = nodes.pop_front() {
            nodes.extend(node.children.borrow().iter().cloned());
            if let NodeData::Element { name: found, .. } = &node.data {
                count += usize::from(&*found.local == name);
            }
        }
        count
    }
}

fn attribute(node: &Handle, elements: &[&str], name: &str) -> Option<String> {
    let NodeData::Element { name: element, attrs, .. } = &node.data else { return None };
    if !elements.contains(&&*element.local) {
        return None;
    }
    let attrs = attrs.borrow();
    attrs.iter().find(|it| &*it.name.local == name).map(|it| it.value.to_string())
}

fn look(server: &Server, path: &str) -> Answer {
    server.get_with(path, &[("Accept", "text/html")])
}

/// A store in which everything is named as nobody should name it.
fn hostile() -> Spacefold {
    let spaces = handbook();
    spaces
        .append([
            SpaceEvent::space_created(HOSTILE, HOSTILE),
            SpaceEvent::document_added(HOSTILE, HOSTILE, HOSTILE)
                .with_source(HOSTILE)
                .with_correlation_id(HOSTILE),
            SpaceEvent::variable_set(HOSTILE, HOSTILE, HOSTILE),
            SpaceEvent::reference_added(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
            SpaceEvent::render_failed(HOSTILE, HOSTILE, HOSTILE),
            SpaceEvent::sync_conflict(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
            SpaceEvent::cache_invalidated(HOSTILE, [HOSTILE], HOSTILE),
        ])
        .unwrap();
    drop(spaces.feed().subscribe_durable("mirror", &Subscription::from_start()).unwrap());
    spaces
}

/// Goes along every link from the first page on.
#[test]
fn every_page_is_well_formed_and_every_link_leads_somewhere() {
    let server = Server::of(hostile());
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::from(["/".to_owned()]);
    let mut pages = BTreeSet::new();
    while let Some(path) = waiting.pop_front() {
        if !seen.insert(path.clone()) || seen.len() > 600 {
            continue;
        }
        let answer = look(&server, &path);
        assert!(matches!(answer.status, 200 | 303), "{path}: {}", answer.status);
        if path.starts_with("/assets/") || answer.status == 303 {
            continue;
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        let page = ParsedPage::of(answer.text());
        assert_eq!(page.elements("img"), 0, "what was given became markup in {path}");
        assert_eq!(page.elements("script"), 1, "{path}");
        assert!(page.attributes(&["a", "input", "p", "svg"], "style").is_empty(), "{path}");
        pages.insert(path.split('?').next().unwrap().to_owned());
        for link in page
            .attributes(&["a", "link"], "href")
            .into_iter()
            .chain(page.attributes(&["script"], "src"))
        {
            assert!(!link.contains("://"), "{link} leads to elsewhere");
            if !link.starts_with('#') {
                waiting.push_back(format!("/{}", link.trim_start_matches("./")));
            }
        }
    }
    let all = ["/", "/health", "/live", "/projections", "/space", "/subscriptions", "/trace"];
    assert!(pages.iter().map(String::as_str).eq(all), "{pages:?}");
}

#[test]
fn a_hostile_space_is_found_by_its_links() {
    let server = Server::of(hostile());
    let answer = look(&server, "/");
    let page = ParsedPage::of(answer.text());
    let links = page.attributes(&["a"], "href");
    let link = links.iter().find(|link| link.starts_with("space?id=%3Cimg")).unwrap();
    let answer = look(&server, &format!("/{link}"));
    let text = answer.text();
    assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;"), "{text}");
}

#[test]
fn what_cannot_be_shown_is_said_to_people() {
    let server = Server::of(handbook());
    for (path, status) in [
        ("/space", 400),
        ("/space?id=nobody", 404),
        ("/space?id=handbook&at=999", 404),
        ("/space?id=handbook&view=other", 400),
        ("/space?id=handbook&t=99999999999999999999", 400),
        ("/space?id=handbook&step=up", 400),
        ("/space?id=handbook&at=1&at=2", 400),
        ("/assets/other.css", 404),
        ("/trace?other=1", 400),
    ] {
        let answer = look(&server, path);
        assert_eq!(answer.status, status, "{path}");
        let text = answer.text();
        assert!(ParsedPage::of(text).elements("h1") == 1, "{path}: {text}");
        // Scripts get what programs get.
        let problem = server.get(path);
        assert_eq!(problem.header("content-type"), "application/problem+json", "{path}");
    }
}

#[test]
fn a_moment_and_a_step_have_addresses_of_their_own() {
    let server = Server::of(handbook());
    let answer = look(&server, "/space?id=handbook&t=0&a=2");
    assert_eq!((answer.status, answer.header("location")), (303, "space?id=handbook&a=2&at=0"));
    let answer = look(&server, "/space?id=handbook&at=2&step=day-on");
    assert_eq!((answer.status, answer.header("location")), (303, "space?id=handbook&at=8"));
    let answer = look(&server, "/space?id=handbook&at=8&step=day-back");
    assert_eq!((answer.status, answer.header("location")), (303, "space?id=handbook&at=1"));
    // A position of another space is the last event before it.
    let answer = look(&server, "/space?id=handbook&at=7&part=1");
    let part = answer.text();
    assert!(part.starts_with("<div id=\"moment\" data-at=\"6\""), "{part}");
}

#[test]
fn the_console_can_be_left_out() {
    let mut settings = Settings::default();
    settings.console = false;
    let server = Server::with(handbook(), settings);
    for path in ["/", "/space?id=handbook", "/assets/console.css", "/console/events"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(server.get("/v1").status, 200);
}

#[test]
fn assets_are_known_by_their_bytes() {
    let server = Server::of(handbook());
    let first = server.get("/assets/console.js");
    let tag = first.header("etag").to_owned();
    let again = server.get_with("/assets/console.js", &[("If-None-Match", &tag)]);
    assert_eq!((first.status, again.status), (200, 304));
}

/// The token of the first form of a page.
fn form_token(text: &str) -> String {
    let (_, rest) = text.split_once("name=\"form_token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    server.send("POST", path, &all, body.as_bytes())
}

#[test]
fn no_form_is_done_that_another_site_could_send() {
    let spaces = hostile();
    let server = Server::of(spaces.clone());
    let own = format!("http://{}", server.address);
    let token = form_token(look(&server, "/subscriptions").text());
    let remove = "/console/subscriptions/remove";
    let body = format!("name=mirror&form_token={token}");
    let refused = [
        send(&server, remove, &[], &body),
        send(&server, remove, &[("Origin", "http://evil.example")], &body),
        send(&server, remove, &[("Origin", "null")], &body),
        send(&server, remove, &[("Origin", &own)], "name=mirror"),
        send(&server, remove, &[("Origin", &own)], "name=mirror&form_token="),
        send(&server, remove, &[("Origin", &own)], "name=mirror&form_token=AAAA"),
        send(&server, remove, &[("Origin", &own), ("Sec-Fetch-Site", "cross-site")], &body),
    ];
    for answer in refused {
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    let other = server.send(
        "POST",
        remove,
        &[("Origin", &own), ("Content-Type", "text/plain")],
        body.as_bytes(),
    );
    assert_eq!(other.status, 415);
    // What people are shown leads on from beneath the page of the form.
    let told = send(&server, remove, &[("Accept", "text/html")], &body);
    assert_eq!(told.status, 403);
    let text = told.text();
    assert!(text.contains("href=\"../../assets/console.css\""), "{text}");
    assert!(text.contains("href=\"../.././\"") && !text.contains("=\"assets/"), "{text}");
    assert_eq!(spaces.feed().durable_subscriptions().unwrap().len(), 1);
    let done = send(&server, remove, &[("Origin", &own)], &body);
    assert_eq!((done.status, done.header("location")), (303, "../../subscriptions"));
    assert!(spaces.feed().durable_subscriptions().unwrap().is_empty());
    assert_eq!(server.get(remove).status, 405);
}

#[test]
fn a_session_shows_what_its_token_grants_for_as_long_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = TokenFile::at(folder.path().join("tokens"));
    let token =
        tokens.create(TokenGrant::new([TokenRight::Read], ["hand*".parse().unwrap()])).unwrap();
    let mut settings = Settings::default();
    settings.tokens = Some(tokens.clone());
    let server = Server::with(handbook(), settings);

    let sent_on = look(&server, "/space?id=handbook");
    assert_eq!(sent_on.status, 303);
    assert_eq!(sent_on.header("location"), "login?next=space%3Fid%3Dhandbook");
    assert_eq!(server.get("/console/events").status, 401);
    assert_eq!(server.get("/assets/console.css").status, 200);
    // The token itself opens the interface for programs alone, and a session the console alone.
    let bearer = format!("Bearer {token}");
    assert_eq!(server.get_with("/space?id=handbook", &[("Authorization", &bearer)]).status, 401);

    let own = format!("http://{}", server.address);
    let form = form_token(look(&server, "/login").text());
    let log_in = |token: &str| {
        let body = format!("form_token={form}&next=space%3Fid%3Dhandbook&token={token}");
        send(&server, "/console/login", &[("Origin", &own)], &body)
    };
    let refused = log_in("sfk1_0000_0000");
    assert_eq!(refused.status, 303);
    assert_eq!(refused.header("location"), "../login?refused=1&next=space%3Fid%3Dhandbook");
    assert_eq!(refused.header("set-cookie"), "");
    let answer = log_in(&token);
    assert_eq!((answer.status, answer.header("location")), (303, "../space?id=handbook"));
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict; "), "{cookie}");
    assert!(!cookie.contains(&token));
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let see = |path: &str| server.get_with(path, &[("Cookie", &cookie), ("Accept", "text/html")]);
    assert_eq!(see("/space?id=handbook").status, 200);
    for path in
        ["/space?id=guide", "/live?space=guide", "/health", "/subscriptions", "/projections"]
    {
        assert_eq!(see(path).status, 403, "{path}");
    }
    let store = see("/");
    let store = store.text();
    assert!(store.contains("handbook") && !store.contains("guide"), "{store}");
    let live = see("/live");
    let live = live.text();
    assert!(live.contains("handbook") && !live.contains("guide"), "{live}");
    assert_eq!(server.get_with("/v1/spaces", &[("Cookie", &cookie)]).status, 401);

    let id = tokens.list().unwrap().remove(0).id;
    assert!(tokens.revoke(&id).unwrap());
    assert_eq!(see("/space?id=handbook").status, 303);
}
