//! The projections that come with the crate.

mod activity;
mod content_index;
mod day;
mod open_problems;

pub use self::{
    activity::{Activity, ActivityCount, ActivityFilter},
    content_index::{ContentIndex, Occurrence},
    day::{Day, InvalidDay},
    open_problems::{OpenProblem, OpenProblems, ProblemDetail, ProblemFilter, ProblemKind},
};
use crate::{
    projections::{ProjectionHandle, Projections, RegisterError},
    table::{OwnedRow, RowKey, Table, TableError},
};

/// The projections that come with the crate, registered.
#[derive(Clone, Debug)]
pub struct Builtin {
    /// Where a content is.
    pub content_index: ProjectionHandle<ContentIndex>,
    /// How many events there were.
    pub activity: ProjectionHandle<Activity>,
    /// What is to be looked after.
    pub open_problems: ProjectionHandle<OpenProblems>,
}

impl Builtin {
    /// Registers all of them.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(projections: &Projections) -> Result<Self, RegisterError> {
        Ok(Self {
            content_index: projections.register(ContentIndex)?,
            activity: projections.register(Activity)?,
            open_problems: projections.register(OpenProblems)?,
        })
    }
}

/// Removes every row whose key begins with `prefix`, and answers them.
fn take_all(prefix: &RowKey, table: &mut Table<'_>) -> Result<Vec<OwnedRow>, TableError> {
    let rows = table.scan(prefix)?.collect::<Result<Vec<_>, _>>()?;
    for (key, _) in &rows {
        table.remove(key)?;
    }
    Ok(rows)
}

/// Removes a row, if it is there, and answers it: a row that is not there costs nothing more.
fn take(key: &RowKey, table: &mut Table<'_>) -> Result<Option<Vec<u8>>, TableError> {
    let row = table.get(key)?;
    if row.is_some() {
        table.remove(key)?;
    }
    Ok(row)
}
