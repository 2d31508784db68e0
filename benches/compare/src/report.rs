//! The raw data of a run, as it is kept.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{machine::Machine, subject::Kind};

/// One row of measurements.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The name of the row.
    pub(crate) row: String,
    /// When it ended, UTC.
    pub(crate) date: String,
    /// How it was asked for.
    pub(crate) command: String,
    /// Of which revision of the sources.
    pub(crate) revision: String,
    /// On which machine.
    pub(crate) machine: Machine,
    /// What else it takes to understand the figures.
    pub(crate) settings: BTreeMap<String, String>,
    /// Every single measurement.
    pub(crate) samples: Vec<Sample>,
}

/// One subject in one slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Which of the row's cases, such as `64 per append`.
    pub(crate) case: String,
    /// Which slice or round: the same for all that ran side by side.
    pub(crate) slice: usize,
    /// Who.
    pub(crate) subject: Kind,
    /// How many events.
    pub(crate) events: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What else was measured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) more: BTreeMap<String, f64>,
}

impl Report {
    /// Writes the report as `<date>-<row>-<maker of the processor>.json` into a folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let day = self.date.get(..10).unwrap_or_default();
        let path = folder.join(format!("{day}-{}-{}.json", self.row, self.machine.maker()));
        let mut text = String::from("{\n");
        let value = serde_json::to_value(self)?;
        let fields = value.as_object().context("a report is an object")?;
        for (name, value) in fields.iter().filter(|(name, _)| *name != "samples") {
            text.push_str(&format!("\"{name}\": {value},\n"));
        }
        let samples: Vec<String> =
            self.samples.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        text.push_str(&format!("\"samples\": [\n{}\n]\n}}\n", samples.join(",\n")));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The newest report of each row on each processor in a folder, in the order of both.
    pub(crate) fn load_newest(folder: &Path) -> Result<Vec<Self>> {
        let mut newest: BTreeMap<(String, String), Self> = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let report: Self = serde_json::from_str(&text)
                .with_context(|| format!("reading {}", path.display()))?;
            let of = (report.row.clone(), report.machine.cpu.clone());
            let older = newest.get(&of).is_some_and(|other| other.date >= report.date);
            if !older {
                newest.insert(of, report);
            }
        }
        Ok(newest.into_values().collect())
    }
}
