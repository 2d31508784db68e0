//! `spacefold rebuild` under a name of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    spacefold_cli::rebuild_projections()
}
