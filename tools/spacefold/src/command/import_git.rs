//! `spacefold import-git`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use spacefold::{AppendError, Folding, ReadError};

use crate::{
    error::{Failure, Status, hint_about},
    git::{self, GitError, ImportGitError, Imported, Repository, SpacePer},
    interrupt,
    output::{Table, bytes, grouped, number, text},
    progress,
    session::{NewStore, Session},
};

#[derive(Debug, Args)]
pub(crate) struct ImportGit {
    /// The repository: its folder, or a bare one.
    #[arg(value_name = "REPO")]
    repository: PathBuf,

    /// What becomes a space.
    #[arg(long, value_name = "WHAT")]
    space_per: SpacePer,

    /// The branch, tag or commit whose first-parent history is imported; what is checked out unless
    /// told.
    #[arg(long, value_name = "B")]
    branch: Option<String>,

    /// What the spaces are called; as the folder of the repository unless told.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    new_store: NewStore,
}

#[derive(Serialize)]
struct Printed<'a> {
    name: &'a str,
    tip: &'a str,
    commits: u64,
    events: u64,
    contents: u64,
    bytes: u64,
    head: u64,
}

const GO_ON: &str = "every commit before it is stored: run the import again to go on";

impl ImportGit {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let repository = Repository::open(&self.repository, self.branch.as_deref())
            .map_err(|error| self.failure(error.into()))?;
        let name = self.name.as_deref().unwrap_or(&repository.name);
        let store = session.open(Folding::OnDemand, self.new_store)?;
        let bar = progress::spinner();
        let mut last = Imported::default();
        let outcome = git::import(&store, &repository, name, self.space_per, &mut |done| {
            bar.set_message(format!(
                "{} commits, {} contents, {}",
                grouped(done.commits),
                grouped(done.contents),
                bytes(done.bytes)
            ));
            last = done.clone();
            !interrupt::requested()
        });
        bar.finish_and_clear();
        let head = store.durable_head();
        let closed = store.close();
        let imported = outcome.map_err(|error| self.failure(error))?;
        closed?;
        if session.json {
            session.output.json(&Printed {
                name,
                tip: &repository.tip,
                commits: imported.commits,
                events: imported.events,
                contents: imported.contents,
                bytes: imported.bytes,
                head: head.get(),
            })?;
        } else {
            let mut table = Table::new();
            table.row([text("spaces"), text(name)]);
            table.row([text("tip"), text(&repository.tip)]);
            table.row([text("commits"), number(imported.commits)]);
            table.row([text("events"), number(imported.events)]);
            table.row([text("contents"), number(imported.contents)]);
            table.row([text("bytes"), number(imported.bytes)]);
            table.row([text("head"), number(head.get())]);
            session.output.table(&table)?;
        }
        session.output.flush()
    }

    fn failure(&self, error: ImportGitError) -> Failure {
        let hint = match &error {
            ImportGitError::Stopped
            | ImportGitError::Append { error: AppendError::Closed, .. }
            | ImportGitError::Read(ReadError::Closed) => return Failure::interrupted(),
            ImportGitError::Git(GitError::NoGit(_)) => "install git",
            ImportGitError::Git(GitError::Shallow) => {
                "`git fetch --unshallow` gets the whole history"
            }
            ImportGitError::Git(_) => {
                "name a repository, and with --branch a branch of it that has a commit"
            }
            ImportGitError::SpaceInUse { .. } => {
                "name other spaces with --name, or import as before with --space-per"
            }
            ImportGitError::Diverged { .. } => {
                "import the branch that was imported before, or the new history into other spaces \
                 with --name"
            }
            ImportGitError::Content(error) => hint_about(error, GO_ON),
            ImportGitError::Read(error) => hint_about(error, GO_ON),
            ImportGitError::Snapshot(error) => hint_about(error, GO_ON),
            ImportGitError::Append { error, .. } => hint_about(error, GO_ON),
        };
        Failure::new(Status::Failed, error, self.repository.display(), hint)
    }
}
