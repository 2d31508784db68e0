//! A durable subscription in a process that is killed.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use spacefold::{Delivery, Position, SpaceEvent, Spacefold, Subscription};

const FOLDER: &str = "SPACEFOLD_KILLED_IN";
const NAME: &str = "mailer";

fn open(path: &Path) -> Spacefold {
    Spacefold::open(path).unwrap()
}

/// The process that is killed: appends, receives and acknowledges, and says how far it is. Does
/// nothing unless the test below runs it, in a process of its own.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let spaces = open(&PathBuf::from(folder));
    let subscription = Subscription::from_start();
    let mut mailer = spaces.subscribe_durable(NAME, &subscription).unwrap();
    loop {
        spaces.append([SpaceEvent::space_activated("a")]).unwrap();
        while let Some(delivery) = mailer.try_recv().unwrap() {
            if let Delivery::Events(page) = delivery {
                let through = page.next().previous();
                // The result says what it is made of.
                mailer.ack_with(through, through.get().to_le_bytes()).unwrap();
                if through.get() % 7 == 0 {
                    mailer.sync().unwrap();
                    println!("synced {through}");
                }
            }
        }
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_acknowledged_and_synced_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut synced = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "feed::kill::child", "--nocapture"])
            .env(FOLDER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).filter_map(|line| {
            line.rsplit_once("synced ").and_then(|(_, position)| position.parse::<u64>().ok())
        });
        for position in told.take(3) {
            synced = position;
        }
        // SIGKILL: nothing of the process runs any more.
        child.kill().unwrap();
        child.wait().unwrap();

        let spaces = open(&path);
        let head = spaces.durable_head().get();
        let mut mailer = spaces.subscribe_durable(NAME, &Subscription::from_now()).unwrap();
        let acknowledged = mailer.acknowledged().get();
        assert!((synced..=head).contains(&acknowledged), "{synced} {acknowledged} {head}");
        assert_eq!(mailer.result(), acknowledged.to_le_bytes(), "the result of another place");
        // Everything behind it comes again, once.
        let mut next = acknowledged + 1;
        while let Some(delivery) = mailer.try_recv().unwrap() {
            if let Delivery::Events(page) = delivery {
                for event in page.envelopes() {
                    assert_eq!(event.position, Position::new(next));
                    next += 1;
                }
            }
        }
        assert_eq!(next, head + 1, "round {round}");
        drop(mailer);
        spaces.close().unwrap();
    }
    assert!(synced > 0);
}
