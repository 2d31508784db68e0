//! What the library says while it works, on standard error, for who asks for it: with `-v`, or by the
//! level that `SPACEFOLD_LOG` names. Nothing that others wrote moves the cursor there.

use std::{
    env,
    io::{self, Write},
};

use spacefold::event::printable;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

use crate::error::{Failure, Status};

/// The variable that names a level: it goes before `-v`.
const VARIABLE: &str = "SPACEFOLD_LOG";

/// Says from now on what happens, as far as that is asked for.
pub(crate) fn begin(verbose: u8) -> Result<(), Failure> {
    let of_flag = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let level = match env::var_os(VARIABLE).filter(|told| !told.is_empty()) {
        None => of_flag,
        Some(told) => told.to_str().and_then(|told| told.parse().ok()).ok_or_else(|| {
            Failure::new(
                Status::Usage,
                format_args!("{:?} is no level", told.to_string_lossy()),
                VARIABLE,
                "levels are off, error, warn, info, debug and trace",
            )
        })?,
    };
    if level != LevelFilter::OFF {
        let lines = fmt().with_max_level(level).with_ansi(false).with_writer(|| Escaped);
        // Another one cannot be there.
        let _ = lines.try_init();
    }
    Ok(())
}

/// Standard error, to which each line is written escaped.
struct Escaped;

impl Write for Escaped {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut stderr = io::stderr().lock();
        stderr.write_all(printable(text).as_bytes())?;
        stderr.write_all(b"\n")?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
