//! The command line of spacefold.

use std::process::ExitCode;

fn main() -> ExitCode {
    spacefold_cli::spacefold()
}
