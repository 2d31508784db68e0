//! By which id a request is known.

use crate::client::Server;

#[test]
fn every_answer_has_the_id_of_its_request() {
    let (_spaces, server) = Server::of_handbook();
    let given = [("X-Request-Id", "job:7_a.b-C")];
    let answer = server.get_with("/v1", &given);
    assert_eq!(answer.header("x-request-id"), "job:7_a.b-C");
    let problem = server.get_with("/v1/spaces/none", &given).problem(404, "unknown_space");
    assert_eq!(problem["request_id"], "job:7_a.b-C");
    // What is refused before anything is asked of it, too.
    let refused = server.get_with("/v1", &[given[0], ("Host", "evil.example")]);
    assert_eq!(refused.problem(403, "host_not_allowed")["request_id"], "job:7_a.b-C");
    let stream = server.stream("/v1/events", &given);
    assert_eq!(stream.headers["x-request-id"], "job:7_a.b-C");
}

#[test]
fn an_id_of_another_form_is_replaced_and_one_is_made_where_there_is_none() {
    let (_spaces, server) = Server::of_handbook();
    let made = ["", "a b", "<script>", &"x".repeat(65)].map(|other| {
        let answer = server.get_with("/v1/nowhere", &[("X-Request-Id", other)]);
        let id = answer.header("x-request-id").to_owned();
        assert_ne!(id, other);
        assert_eq!(answer.problem(404, "unknown_path")["request_id"], *id);
        id
    });
    let none = server.get("/healthz").header("x-request-id").to_owned();
    let ids = made.iter().chain([&none]).collect::<std::collections::BTreeSet<_>>();
    assert!(ids.len() == 5 && ids.iter().all(|id| !id.is_empty()), "{ids:?}");
}
