//! The sample history against git's own trees.

use std::collections::BTreeMap;

use serde_json::Value;
use spacefold::{Position, Spacefold, state::SpaceStatus};

use crate::support::{SAMPLE_EVENTS, cli, fixture, import_sample, run, unzipped};

/// What git says about one commit.
struct Checkpoint {
    position: Position,
    /// Of every space the paths of its files with the hashes of their content.
    spaces: BTreeMap<String, BTreeMap<String, String>>,
}

fn checkpoints() -> Vec<Checkpoint> {
    let oracle: Value = serde_json::from_str(&unzipped("book.oracle.json.gz")).unwrap();
    let checkpoint = |value: &Value| Checkpoint {
        position: Position::new(value["last_event"].as_u64().unwrap() + 1),
        spaces: serde_json::from_value(value["spaces"].clone()).unwrap(),
    };
    let checkpoints = oracle["checkpoints"].as_array().unwrap();
    checkpoints.iter().map(checkpoint).collect()
}

#[test]
fn every_checkpoint_is_what_git_says() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("store")).unwrap();
    let report = import_sample(&spaces);
    assert_eq!((report.read, report.appended), (SAMPLE_EVENTS, SAMPLE_EVENTS));
    assert_eq!((report.already_present, report.rejected), (0, 0));
    assert_eq!(report.head, Position::new(SAMPLE_EVENTS));

    let checkpoints = checkpoints();
    assert_eq!(checkpoints.len(), 20);
    let mut files = 0;
    // The newest first, so that nothing folded forward for one is of use to the next.
    for checkpoint in checkpoints.iter().rev() {
        let at = checkpoint.position;
        for (space_id, expected) in &checkpoint.spaces {
            let snapshot = spaces.at(at).snapshot(space_id).unwrap();
            assert_eq!(snapshot.position(), at);
            let documents = snapshot.state().documents();
            assert_eq!(documents.len(), expected.len(), "{space_id} at {at}");
            let held: BTreeMap<String, String> = documents
                .into_iter()
                .map(|(_, document)| {
                    let hash = document.content_hash().unwrap().to_string();
                    (document.path().to_owned(), hash)
                })
                .collect();
            assert_eq!(&held, expected, "{space_id} at {at}");
            files += expected.len();
        }
        // No space has documents that git knows nothing of, and both ways to ask agree.
        for snapshot in spaces.at(at).snapshot_all().unwrap() {
            let space_id = snapshot.space_id();
            if !checkpoint.spaces.contains_key(space_id) {
                assert_eq!(snapshot.state().document_count(), 0, "{space_id} at {at}");
            }
            let alone = spaces.at(at).snapshot(space_id).unwrap();
            assert_eq!(alone.to_json(), snapshot.to_json());
        }
    }
    assert!(files > 1_000, "an oracle of {files} files says little");
    for snapshot in spaces.snapshot_all().unwrap() {
        assert_eq!(snapshot.state().anomalies().count(), 0, "{}", snapshot.space_id());
        assert_eq!(snapshot.state().status(), SpaceStatus::Active);
    }
}

#[test]
fn the_command_line_says_what_git_says() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let imported =
        run(cli(&store).args(["import", "--json"]).arg(fixture("book.jsonl.gz"))).succeeded();
    // Five commits are dated earlier than the one before them.
    assert_eq!(
        imported,
        "{\"read\":25557,\"appended\":25557,\"already_present\":0,\"rejected\":0,\"head\":25557,\
         \"ids_made_up\":0,\"ids_derived\":0,\"times_made_up\":0,\"naive_times\":0,\"clamped\":5,\
         \"first_clamped\":{\"line\":295,\"time\":\"2015-12-18T19:48:13+00:00\",\
         \"recorded_at\":\"2015-12-18T19:48:16+00:00\"}}\n"
    );
    let checkpoints = checkpoints();
    for checkpoint in [&checkpoints[0], &checkpoints[9], &checkpoints[19]] {
        let at = checkpoint.position.to_string();
        for (space_id, expected) in checkpoint.spaces.iter().take(3) {
            let printed = run(cli(&store).args(["snapshot", space_id, "--at", &at, "--json"]));
            let snapshot: Value = serde_json::from_str(&printed.succeeded()).unwrap();
            assert_eq!(snapshot["space_id"], **space_id);
            assert_eq!(snapshot["position"], checkpoint.position.get());
            let documents = snapshot["documents"].as_array().unwrap();
            let held: Vec<(&str, &str)> = documents
                .iter()
                .map(|document| {
                    let text = |key: &str| document[key].as_str().unwrap();
                    (text("path"), text("content_hash"))
                })
                .collect();
            // By path, in the order of bytes.
            let expected: Vec<(&str, &str)> =
                expected.iter().map(|(path, hash)| (path.as_str(), hash.as_str())).collect();
            assert_eq!(held, expected, "{space_id} at {at}");
        }
    }
}
