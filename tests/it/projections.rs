//! Projections of one's own and those that come with a store, in whole programs.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use spacefold::{
    Options, Position, SpaceEvent, Spacefold,
    event::RecordedEventRef,
    projection::{
        ApplyContext, ApplyError, CatchUpError, PauseKind, ProblemFilter, SingleValue,
        SingleValueProjection,
    },
};

use crate::support::{SAMPLE_EVENTS, cli, import_sample, on_each_kind, rebuild_projections, run};

on_each_kind![
    a_quarantined_event_pauses_one_projection_and_is_listed,
    a_store_stays_usable_while_it_is_rebuilt,
];

/// Where a store says whose it is.
const LOCK: &str = "LOCK";

/// How long anything may take.
const LONG: Duration = Duration::from_secs(60);

fn events_by_source() -> SingleValueProjection<EventsBySource> {
    SingleValueProjection(EventsBySource { refuses: Arc::default() })
}

/// Counts events; refuses those of a type while it is told to.
struct EventsBySource {
    refuses: Arc<AtomicBool>,
}

impl SingleValue for EventsBySource {
    type Value = std::collections::BTreeMap<String, u64>;

    fn name(&self) -> &'static str {
        "events-by-source"
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _: &ApplyContext<'_>,
        counts: &mut Self::Value,
    ) -> Result<(), ApplyError> {
        if self.refuses.load(Ordering::Acquire) && event.space_id == "bad" {
            return Err(ApplyError::refused("a bad space"));
        }
        *counts.entry(event.source.unwrap_or("-").to_owned()).or_default() += 1;
        Ok(())
    }
}

#[test]
fn a_projection_is_folded_live_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let spaces = Spacefold::open(&path).unwrap();
    let counts = spaces.projections().register(events_by_source()).unwrap();
    thread::scope(|scope| {
        for writer in 0..2 {
            let spaces = &spaces;
            scope.spawn(move || {
                for n in 0..100 {
                    let event = SpaceEvent::variable_set(format!("s{n}"), "n", n);
                    let event = event.with_source(format!("writer {writer}"));
                    spaces.append([event]).unwrap();
                }
            });
        }
    });
    assert_eq!(counts.wait(Position::new(200), LONG).unwrap(), Position::new(200));
    let (value, position) = counts.value().unwrap();
    assert_eq!((value["writer 0"], value["writer 1"], position.get()), (100, 100, 200));
    spaces.close().unwrap();
    drop(spaces);

    let spaces = Spacefold::open(&path).unwrap();
    let again = spaces.projections().register(events_by_source()).unwrap();
    assert_eq!(again.value().unwrap(), (value, position), "nothing is folded again");
    assert!(spaces.projections().register(events_by_source()).is_err(), "its name is taken");
}

fn a_quarantined_event_pauses_one_projection_and_is_listed(options: &Options) {
    let spaces = options.open().unwrap();
    let refuses = Arc::new(AtomicBool::new(true));
    let picky = spaces
        .projections()
        .register(SingleValueProjection(EventsBySource { refuses: Arc::clone(&refuses) }))
        .unwrap();
    let append = |space: &str| {
        let event = SpaceEvent::render_failed(space, None::<String>, "no ink");
        spaces.append([event]).unwrap().last_position()
    };
    append("good");
    let bad = append("bad");
    let last = append("good");
    let Err(CatchUpError::Paused(paused)) = picky.wait(last, LONG) else {
        panic!("it is not paused")
    };
    assert_eq!((paused.position, paused.kind), (bad, PauseKind::Refused));
    assert_eq!(picky.value().unwrap().0["-"], 1);
    // The others go on.
    let problems = spaces.projections().open_problems().unwrap();
    assert_eq!(problems.problems(&ProblemFilter::default()).unwrap().len(), 2);
    let infos = spaces.projections().infos().unwrap();
    let names: Vec<_> = infos.iter().map(|info| info.name).collect();
    let all = ["activity", "content-index", "events-by-source", "open-problems", "space-state"];
    assert_eq!(names, all);
    assert_eq!(infos[2].paused.as_ref(), Some(&paused));
    assert_eq!((infos[3].position, infos[3].lag), (last, 0));
    assert!(spaces.projections().resume("events-by-source").is_err(), "it refuses again");
    refuses.store(false, Ordering::Release);
    assert_eq!(spaces.projections().resume("events-by-source").unwrap(), last);
    assert_eq!(picky.value().unwrap().0["-"], 3);
}

#[test]
fn what_comes_with_a_store_costs_nothing_until_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let spaces = Spacefold::open(&path).unwrap();
    let event = SpaceEvent::document_added("a", "d", "/d");
    spaces.append([event]).unwrap();
    assert_eq!(spaces.projections().content_index().unwrap().position(), Position::new(1));
    spaces.close().unwrap();
    drop(spaces);
    // From then on it is folded live; the others are not.
    let spaces = Spacefold::open(&path).unwrap();
    let event = SpaceEvent::document_content_changed("a", "d", None::<String>, "h");
    let receipt = spaces.append([event]).unwrap();
    let begun = Instant::now();
    let positions = loop {
        let infos = spaces.projections().infos().unwrap();
        if infos[1].position == receipt.last_position() {
            break infos.iter().map(|info| info.position.get()).collect::<Vec<_>>();
        }
        assert!(begun.elapsed() < LONG, "{infos:?}");
        thread::yield_now();
    };
    assert_eq!(positions[..3], [0, 2, 0]);
}

#[test]
fn the_command_line_asks_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    let hash = "5e".repeat(32);
    let changed = |old: Option<&str>, new: &str| {
        SpaceEvent::document_content_changed("a", "d", old.map(str::to_owned), new)
    };
    let events = [
        SpaceEvent::document_added("a", "d", "/d").with_source("editor"),
        changed(None, &hash),
        changed(Some(&hash), "other"),
        SpaceEvent::render_failed("a", "d", "no ink"),
        SpaceEvent::sync_conflict("a", "d", "l", None::<String>),
    ];
    spaces.append(events).unwrap();
    spaces.catch_up().unwrap();
    spaces.close().unwrap();
    drop(spaces);

    let asked = |arguments: &[&str]| run(cli(&store).args(arguments)).succeeded();
    let occurrence = "{\"space_id\":\"a\",\"document_id\":\"d\",\"from\":2,\"until\":3}\n";
    assert_eq!(asked(&["where", &hash, "--json"]), occurrence);
    assert_eq!(asked(&["where", &hash, "--at", "2", "--json"]), occurrence);
    assert_eq!(asked(&["where", &hash, "--now", "--json"]), "");
    assert!(asked(&["where", "other"]).contains("now"));
    assert_eq!(run(cli(&store).args(["where", &hash, "--at", "6"])).code, Some(4));

    let counts: Vec<Value> = asked(&["activity", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(counts.iter().map(|it| it["events"].as_u64().unwrap()).sum::<u64>(), 5);
    assert_eq!(
        (&counts[0]["event_type"], &counts[0]["source"]),
        (&"document.added".into(), &"editor".into())
    );
    assert!(asked(&["activity", "--type", "render.failed"]).contains("render.failed"));
    assert_eq!(asked(&["activity", "--to", "1999-12-31", "--json"]), "");
    assert_eq!(run(cli(&store).args(["activity", "--from", "yesterday"])).code, Some(2));

    let problems: Vec<Value> = asked(&["problems", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let shown: Vec<_> =
        problems.iter().map(|it| (it["kind"].as_str().unwrap(), it["since"].as_u64())).collect();
    assert_eq!(shown, [("failed_render", Some(4)), ("sync_conflict", Some(5))]);
    assert_eq!(
        (&problems[0]["error"], &problems[1]["local_hash"]),
        (&"no ink".into(), &"l".into())
    );
    assert_eq!(asked(&["problems", "--kind", "sync_conflict", "--json"]).lines().count(), 1);
    assert_eq!(run(cli(&store).args(["problems", "--space", "b"])).code, Some(4));

    let info: Value = serde_json::from_str(&asked(&["info", "--json"])).unwrap();
    let projections = info["projections"].as_array().unwrap();
    let lags: Vec<_> = projections
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["lag"].as_u64().unwrap()))
        .collect();
    let names = ["activity", "content-index", "open-problems", "space-state"];
    assert_eq!(lags, names.map(|name| (name, 0)));
    run(cli(&store).arg("verify")).succeeded();
}

/// What a rebuild of all projections prints.
fn rebuilt(store: &Path, arguments: &[&str]) -> Vec<Value> {
    let printed = run(rebuild_projections(store).arg("--json").args(arguments)).succeeded();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["head"], SAMPLE_EVENTS);
    printed["projections"].as_array().unwrap().clone()
}

fn sample_store(folder: &Path) -> std::path::PathBuf {
    let store = folder.join("store");
    let spaces = Spacefold::open(&store).unwrap();
    import_sample(&spaces);
    spaces.close().unwrap();
    store
}

fn hashes(outcomes: &[Value], of: &str) -> BTreeSet<String> {
    outcomes.iter().map(|it| format!("{} {}", it["name"], it[of])).collect()
}

/// How many rebuilds are killed, unless told: each is killed a little later than the one before.
const KILLS: u32 = 6;

#[test]
fn a_rebuild_that_is_killed_leaves_the_old_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let store = sample_store(folder.path());
    let plain = hashes(&rebuilt(&store, &["--check"]), "new_hash");
    let kills = std::env::var("SPACEFOLD_REBUILD_KILLS").map_or(KILLS, |it| it.parse().unwrap());
    for round in 0..kills {
        let mut child = rebuild_projections(&store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let life = Duration::from_millis(u64::from(round) * 300 / u64::from(kills));
        while begun.elapsed() < life && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        let checked = rebuilt(&store, &["--check"]);
        assert_eq!(hashes(&checked, "new_hash"), plain, "round {round}");
        for outcome in &checked {
            let has_old = !outcome["old_hash"].is_null();
            let expected = if has_old { "identical" } else { "nothing to compare" };
            assert_eq!(outcome["verdict"], expected, "round {round}: {outcome}");
        }
    }
    let outcomes = rebuilt(&store, &[]);
    assert_eq!(hashes(&outcomes, "new_hash"), plain);
    let outcomes = rebuilt(&store, &["--check", "--threads", "1"]);
    assert_eq!(hashes(&outcomes, "old_hash"), plain);
    run(cli(&store).arg("verify")).succeeded();
}

#[test]
fn a_rebuild_that_is_interrupted_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let store = sample_store(folder.path());
    interrupted(&store, &mut rebuild_projections(&store));
    let outcomes = rebuilt(&store, &[]);
    // What it has folded by then was kept.
    assert!(outcomes.iter().all(|it| it["resumed_from"].as_u64() > Some(0)), "{outcomes:?}");
    let plain = hashes(&outcomes, "new_hash");
    let again = rebuilt(&store, &["--restart"]);
    assert!(again.iter().all(|it| it["resumed_from"].is_null()), "{again:?}");
    assert_eq!(hashes(&again, "new_hash"), plain);
    assert_eq!(hashes(&again, "old_hash"), plain);
    // One tool goes on with what the other has begun.
    interrupted(&store, cli(&store).arg("rebuild"));
    let outcomes = rebuilt(&store, &[]);
    assert!(outcomes.iter().all(|it| it["resumed_from"].as_u64() > Some(0)), "{outcomes:?}");
    assert_eq!(hashes(&outcomes, "new_hash"), plain);
}

/// Begins a rebuild that would take hours, and interrupts it.
#[track_caller]
fn interrupted(store: &Path, rebuild: &mut Command) {
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    let child = rebuild
        .args(["--max-rate", "1"])
        .env_remove(ARENAS)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    // Its handler of Ctrl-C is there before the store is its own.
    let pid = child.id().to_string();
    while fs::read_to_string(store.join(LOCK)).is_ok_and(|owner| owner.trim() != pid) {
        assert!(begun.elapsed() < LONG, "it does not open the store");
        thread::yield_now();
    }
    // It is the process that was started, not one that it has made of itself.
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(ARENAS));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.starts_with("error: interrupted"), "{stderr}");
    assert!(stderr.contains("the old projections are there"), "{stderr}");
}

fn a_store_stays_usable_while_it_is_rebuilt(options: &Options) {
    let spaces = options.open().unwrap();
    import_sample(&spaces);
    let activity = spaces.projections().activity().unwrap();
    let appended = Mutex::new(0_u64);
    let progress = |_| {
        let event = SpaceEvent::variable_set("meanwhile", "n", 1);
        spaces.append([event]).unwrap();
        *appended.lock().unwrap() += 1;
    };
    let mut options = spacefold::admin::RebuildOptions::new(spacefold::admin::RebuildMode::Replace);
    options.progress = &progress;
    let outcomes = spaces.admin().rebuild(&[], &options).unwrap();
    assert!(outcomes.iter().all(|it| it.events == SAMPLE_EVENTS));
    let head = Position::new(SAMPLE_EVENTS + *appended.lock().unwrap());
    assert_eq!(spaces.durable_head(), head);
    assert_eq!(activity.wait(head, LONG).unwrap(), head);
    let counts = activity.counts(&spacefold::projection::ActivityFilter::default()).unwrap();
    assert_eq!(counts.iter().map(|count| count.events).sum::<u64>(), head.get());
    let snapshot = spaces.snapshot("meanwhile").unwrap();
    assert_eq!(snapshot.revision().get(), *appended.lock().unwrap());
}
