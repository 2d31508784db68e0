//! What people are told of a command that a rule refuses, whoever has refused it.

use crate::error::{Failure, Status};

/// What is told of a command that a rule refuses, by the name of the rule.
pub(crate) fn refused(space_id: &str, what: &str, rule: &str) -> Failure {
    Failure::new(Status::Failed, what, format_args!("space {space_id:?}"), hint(rule))
}

/// What to do about a refusal.
fn hint(rule: &str) -> &'static str {
    match rule {
        "space_exists" => "choose another id, or update the space that is there",
        "space_deleted" => "create it again with `spacefold service create-space`",
        "space_archived" => {
            "activate it with `spacefold service activate-space`, then run the command again"
        }
        "status_unchanged" => "nothing is left to do",
        "empty" => "name something",
        "document_exists" => "choose another id, or move or update that document",
        "path_taken" => "choose another path, or move that document first",
        "unknown_document" | "unknown_variable" | "no_conflict" => {
            "`spacefold snapshot SPACE` shows what the space has"
        }
        "render_running" => {
            "complete it or fail it first; if its process is gone, `spacefold problems --kind \
             running_render` says whose it was, and `spacefold service take-over-render` ends it and \
             starts another"
        }
        "render_superseded" => {
            "`spacefold problems --kind running_render` lists the renders that run"
        }
        "render_not_running" => "start it with `spacefold service start-render`",
        "sync_running" => {
            "complete it with `spacefold service complete-sync` first; if its process is gone, \
             `spacefold problems --kind running_sync` says whose it was, and `spacefold service \
             take-over-sync` starts another in its place"
        }
        "sync_superseded" => {
            "`spacefold problems --kind running_sync` lists the synchronisations that run"
        }
        "sync_not_running" => "start it with `spacefold service start-sync`",
        "condition_failed" => "read what is there by now, then decide again",
        "key_reused" => "choose another key for this command",
        "unknown_type" => "name it as programs are, such as com.example.comment.added",
        "reserved_type" => "choose a name of your own",
        "extra_key" | "key_in_payload" => {
            "choose another key: this one is said by the command itself"
        }
        _ => "nothing was written; correct the command and run it again",
    }
}
