//! What the figures were measured on.

use std::{fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

/// A machine, as far as it matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The model of the processor.
    pub(crate) cpu: String,
    /// How many of its cores there are.
    pub(crate) cores: usize,
    /// Its memory, in GiB.
    pub(crate) memory_gib: u64,
    /// The version of the kernel.
    pub(crate) kernel: String,
    /// The file system of the measured folder.
    pub(crate) file_system: String,
    /// The compiler.
    pub(crate) rustc: String,
}

impl Machine {
    /// This machine, with the file system of a folder.
    pub(crate) fn here(folder: &Path) -> Self {
        let line = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
            let value = line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
            value.unwrap_or_else(|| "unknown".to_owned())
        };
        let memory = line("/proc/meminfo", "MemTotal");
        let memory_kib: u64 =
            memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
        Self {
            cpu: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_kib >> 20,
            kernel: output("uname", &["-r"]),
            file_system: output(
                "findmnt",
                &["-n", "-o", "FSTYPE", "-T", &folder.to_string_lossy()],
            ),
            rustc: output("rustc", &["--version"]),
        }
    }

    /// The first word of the processor's name, in small letters.
    pub(crate) fn maker(&self) -> String {
        let name = self.cpu.to_lowercase();
        let word = name.split(|letter: char| !letter.is_ascii_alphanumeric()).next();
        word.unwrap_or_default().to_owned()
    }
}

/// The revision of the sources, and whether they were changed since.
pub(crate) fn revision() -> String {
    output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success());
    text.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
