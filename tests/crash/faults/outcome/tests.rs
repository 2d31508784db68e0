use super::*;

/// A run that told these lines after a call to this file failed.
fn run(path: &str, lines: &[&str]) -> Run {
    let fault = Entry::Fault { file: 1, path: path.to_owned(), call: "sync".to_owned() };
    let told = lines.iter().map(|line| Entry::Mark { bytes: format!("{line}\n").into_bytes() });
    Run::of(&[fault].into_iter().chain(told).collect::<Vec<_>>()).unwrap()
}

const JOURNAL: &str = "store/journal/0000.journal";
const REFUSED: [&str; 4] = [
    "acknowledged 1 0 small 1 3",
    "failed 1 1 small unknown the disk failed",
    "failed 1 2 small refused the disk failed before",
    "closed",
];

#[test]
fn an_error_that_is_told_and_stops_the_store_is_right() {
    judge(&run(JOURNAL, &REFUSED), false).unwrap();
    judge(&run(JOURNAL, &["opening", "broken open: it cannot be read"]), false).unwrap();
    judge(&run("store/sled/db", &["broken read: sled failed", "closed"]), false).unwrap();
}

#[test]
fn what_is_wrong_is_found() {
    let wrong = |path: &str, lines: &[&str], is_transparent: bool| {
        judge(&run(path, lines), is_transparent).unwrap_err()
    };
    // An append is taken after one that failed, or not refused.
    let taken = ["failed 1 1 small unknown why", "acknowledged 1 2 small 4 1", "closed"];
    assert!(wrong(JOURNAL, &taken, false).contains("was taken"));
    let unknown = ["failed 1 1 small unknown why", "failed 1 2 small unknown why", "closed"];
    assert!(wrong(JOURNAL, &unknown, false).contains("is not refused"));
    // Reading stops, or the process does.
    assert!(wrong(JOURNAL, &["broken read: why", "closed"], false).contains("reading"));
    assert!(wrong(JOURNAL, &REFUSED[..3], false).contains("ended after"));
    // An interruption is noticed.
    assert!(wrong(JOURNAL, &REFUSED, true).contains("taken up again"));
}

#[test]
fn a_sync_that_is_tried_again_is_found() {
    let begins = |path: &str| Entry::SyncBegins { file: 1, sync: 1, path: path.to_owned() };
    let fault =
        |path: &str| Entry::Fault { file: 1, path: path.to_owned(), call: "sync".to_owned() };
    let closed = Entry::Mark { bytes: b"closed\n".to_vec() };
    let judged = |path: &str, between: Option<Entry>| {
        let entries = [Some(fault(path)), between, Some(begins(path)), Some(closed.clone())];
        judge(&Run::of(&entries.into_iter().flatten().collect::<Vec<_>>()).unwrap(), false)
    };
    assert!(judged(JOURNAL, None).unwrap_err().contains("tried again"));
    judged("store/sled/db", None).unwrap();
    // The space that was set aside is given back, and the store opened anew.
    let given_back = Entry::Remove { path: "store/reserve".to_owned() };
    judged("store/HEAD", Some(given_back)).unwrap();
    // Something is made anew, in place of what the sync that failed was for.
    let made = |folder: &str| {
        let (from, to) = (format!("{folder}/a.unfinished"), format!("{folder}/a"));
        judged(folder, Some(Entry::Rename { from, to }))
    };
    made("store/derived/event-ids").unwrap();
    assert!(judged("store/derived/event-ids", None).unwrap_err().contains("tried again"));
    assert!(made("store/segments").unwrap_err().contains("tried again"));
}
