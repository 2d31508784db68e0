//! The command line, with a bucket instead of a folder.

use std::process::{Command, Output};

use crate::service::Service;

fn run(service: &Service, data: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spacefold-s3"));
    command.arg("--data").arg(data).args(arguments);
    command.env("AWS_ENDPOINT_URL", format!("http://{}", service.address));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env(name, "any");
    }
    command.env("AWS_REGION", "us-east-1").output().unwrap()
}

#[test]
fn a_bucket_is_named_by_its_url_wherever_a_folder_is() {
    let Some(service) = Service::get() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let (data, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
    let url = Service::next_url();
    let succeeded = |data: &std::path::Path, arguments: &[&str]| {
        let answer = run(service, data, arguments);
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(answer.status.success(), "{arguments:?}: {said}");
        String::from_utf8(answer.stdout).unwrap()
    };
    succeeded(&data, &["space", "create", "a", "--name", "A"]);
    succeeded(&data, &["backup", &url]);
    succeeded(&data, &["restore", &url, copy.to_str().unwrap()]);
    assert_eq!(succeeded(&copy, &["export"]), succeeded(&data, &["export"]));
    assert_eq!(succeeded(&data, &["backup", "list", &url, "--json"]).lines().count(), 1);
    assert!(succeeded(&data, &["backup", "verify", &url]).contains("1 backups"));
    succeeded(&data, &["backup", "drill", &url]);
    succeeded(&data, &["backup", "prune", "--keep-daily", "1", &url]);
    for (url, code) in [("ftp://x/y", 2), ("s3://no-such-bucket/x", 1)] {
        let answer = run(service, &data, &["backup", url]);
        let said = String::from_utf8_lossy(&answer.stderr);
        assert_eq!(answer.status.code(), Some(code), "{said}");
    }
}
