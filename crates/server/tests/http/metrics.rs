//! Metrics: what they say, and that everything that reads them finds its names.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use spacefold::{Position, SpaceEvent, Subscription};

use crate::client::Server;

fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

#[test]
fn metrics_say_what_is_so() {
    let (spaces, server) = Server::of_handbook();
    let place = spaces.feed().hold_durable("mail\"er", &Subscription::from_start()).unwrap();
    place.park(Position::new(3), "mail", "no address").unwrap();
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    for (name, expected) in [
        ("spacefold_head", 8.0),
        ("spacefold_durable_head", 8.0),
        ("spacefold_append_events_total", 8.0),
        ("spacefold_accepts_appends", 1.0),
        ("spacefold_subscriptions", 1.0),
        ("spacefold_parked_events", 1.0),
        ("spacefold_subscription_lag_events{subscription=\"mail\\\"er\"}", 8.0),
        ("spacefold_subscription_parked{subscription=\"mail\\\"er\"}", 1.0),
        ("spacefold_projection_paused{projection=\"activity\"}", 0.0),
        ("spacefold_streams", 0.0),
        ("spacefold_max_streams", 10_000.0),
    ] {
        assert!((value(text, name) - expected).abs() < 1e-9, "{name}: {}", value(text, name));
    }
    assert!(value(text, "spacefold_oldest_parked_seconds") >= 0.0);
    let mut stream = server.stream("/v1/events", &[]);
    stream.until("caught-up");
    spaces.append([SpaceEvent::space_activated("guide")]).unwrap();
    let text = server.get("/metrics");
    assert!((value(text.text(), "spacefold_streams") - 1.0).abs() < 1e-9);
    assert!((value(text.text(), "spacefold_head") - 9.0).abs() < 1e-9);
    server.get("/metrics?x=1").problem(400, "unknown_parameter");
}

/// Every name of a metric in a text.
fn names(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    parts.filter(|part| part.starts_with("spacefold_")).map(str::to_owned).collect()
}

#[test]
fn alerts_dashboard_and_page_have_the_names_that_there_are() {
    let (_spaces, server) = Server::of_handbook();
    let text = server.get("/metrics");
    let said: BTreeSet<String> = text
        .text()
        .lines()
        .filter_map(|line| {
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()).map(str::to_owned)
        })
        .collect();
    assert!(said.len() > 15, "{said:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let dashboard = read("ops/grafana/spacefold.json");
    assert!(serde_json::from_str::<Value>(&dashboard).unwrap()["panels"].is_array());
    for (path, text) in [
        ("ops/grafana/spacefold.json", dashboard),
        ("ops/prometheus/alerts.yml", read("ops/prometheus/alerts.yml")),
        ("docs/operations.md", read("docs/operations.md")),
    ] {
        let used = names(&text);
        assert!(used.len() > 5, "{path} has no names");
        assert!(used.is_subset(&said), "{path}: {:?}", used.difference(&said));
    }
    // The page has all of them.
    assert!(said.is_subset(&names(&read("docs/operations.md"))));
}
