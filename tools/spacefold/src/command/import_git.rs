//! `spacefold import-git`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use spacefold::{AppendError, Folding, ReadError, content::ContentError, event::MAX_ID_BYTES};

use crate::{
    error::{Failure, Status, hint_about},
    git::{self, GitError, ImportGitError, Lack, Repository, Rewound, SpacePer, WhenRewritten},
    interrupt,
    output::{CellTable, bytes, grouped, number, text},
    progress,
    session::{CliSession, NewStore},
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
    #[arg(long, value_name = "NAME", value_parser = space_name)]
    name: Option<String>,

    /// Go on though history was rewritten: events take the spaces back to the newest commit of the
    /// branch that was imported before (to nothing if there is none), and say so; then the commits
    /// after it are imported.
    #[arg(long)]
    onto_new_history: bool,

    #[command(flatten)]
    new_store: NewStore,
}

fn space_name(name: &str) -> Result<String, String> {
    match name.len() {
        0 => Err("a name is not empty".to_owned()),
        bytes if bytes > MAX_ID_BYTES => {
            Err(format!("the name has {bytes} bytes: the limit is {MAX_ID_BYTES}"))
        }
        _ => Ok(name.to_owned()),
    }
}

#[derive(Serialize)]
struct PrintedGitImport<'a> {
    name: &'a str,
    tip: &'a str,
    commits: u64,
    events: u64,
    contents: u64,
    bytes: u64,
    head: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewound: Option<&'a Rewound>,
    clamped: u64,
    first_clamped: Option<&'a str>,
}

const GO_ON: &str = "every commit before it is stored: run the import again to go on";

impl ImportGit {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let repository = Repository::open(&self.repository, self.branch.as_deref())
            .map_err(|error| self.failure(error.into()))?;
        let name = self.name.as_deref().unwrap_or(&repository.name);
        let store = session.open(Folding::OnDemand, self.new_store)?;
        let bar = progress::spinner();
        let when_rewritten = if self.onto_new_history {
            WhenRewritten::GoBackToTheFork
        } else {
            WhenRewritten::Refuse
        };
        let how = (self.space_per, when_rewritten);
        let outcome = git::import(&store, &repository, name, how, &mut |done| {
            if !bar.is_hidden() {
                let (commits, contents) = (grouped(done.commits), grouped(done.contents));
                let bytes = bytes(done.bytes);
                bar.set_message(format!("{commits} commits, {contents} contents, {bytes}"));
            }
            !interrupt::requested()
        });
        bar.finish_and_clear();
        let head = store.durable_head();
        let closed = store.close();
        let imported = outcome.map_err(|error| self.failure(error))?;
        closed?;
        let rewound = imported.rewound.as_ref();
        if session.json {
            session.output.json(&PrintedGitImport {
                name,
                tip: &repository.tip,
                commits: imported.commits,
                events: imported.events,
                contents: imported.contents,
                bytes: imported.bytes,
                head: head.get(),
                rewound,
                clamped: imported.clamped,
                first_clamped: imported.first_clamped.as_deref(),
            })?;
        } else {
            let mut table = CellTable::new();
            table.row([text("spaces"), text(name)]);
            table.row([text("tip"), text(&repository.tip)]);
            if let Some(Rewound { to, events, .. }) = rewound {
                let to = to.as_deref().unwrap_or("before the first commit");
                table.row([text("went back to"), text(to)]);
                table.row([text("events of that"), number(*events)]);
            }
            table.row([text("commits"), number(imported.commits)]);
            table.row([text("events"), number(imported.events)]);
            table.row([text("contents"), number(imported.contents)]);
            table.row([text("bytes"), number(imported.bytes)]);
            table.row([text("head"), number(head.get())]);
            if let Some(commit) = &imported.first_clamped {
                table.row([text("recorded at another time"), number(imported.clamped)]);
                table.row([text("first of them in"), text(commit)]);
            }
            session.output.table(&table)?;
        }
        session.output.flush()
    }

    fn failure(&self, error: ImportGitError) -> Failure {
        let hint = match &error {
            ImportGitError::Stopped
            | ImportGitError::Append { error: AppendError::Closed, .. }
            | ImportGitError::Content(ContentError::Closed)
            | ImportGitError::Read(ReadError::Closed) => return Failure::interrupted(),
            ImportGitError::Git(error) => hint_of(error),
            ImportGitError::SpaceInUse { .. } => {
                "name other spaces with --name, or import as before with --space-per"
            }
            ImportGitError::Diverged { .. }
            | ImportGitError::HeadGone { .. }
            | ImportGitError::Unfinished { .. } => {
                "import the branch that was imported before; if its history was rewritten, go on \
                 with --onto-new-history, or import it into other spaces with --name"
            }
            ImportGitError::SpaceIdTooLong { .. } => {
                "every commit before it is stored: import with a shorter --name, or with --space-per \
                 repo, into a store or under a name of its own"
            }
            ImportGitError::Append { error: AppendError::Limit { .. }, .. } => {
                "every commit before it is stored; this one cannot be: import a branch without it"
            }
            ImportGitError::Content(error) => hint_about(error, GO_ON),
            ImportGitError::Read(error) => hint_about(error, GO_ON),
            ImportGitError::Snapshot(error) => hint_about(error, GO_ON),
            ImportGitError::Append { error, .. } => hint_about(error, GO_ON),
        };
        Failure::new(Status::Failed, error, self.repository.display(), hint)
    }
}

fn hint_of(error: &GitError) -> &'static str {
    match error {
        GitError::NoGit(_) => "install git",
        GitError::Url { .. } => "`git clone` it first, then name the folder of the clone",
        GitError::NoRepository { .. } | GitError::Io { .. } => {
            "name the folder of a repository that can be read"
        }
        GitError::UnknownFormat { .. } => "`git clone` it into a repository of the usual format",
        GitError::Shallow => "`git fetch --unshallow` gets the whole history",
        GitError::Empty => "make a commit, then import it",
        GitError::Unborn => "name a branch with --branch: `git branch --all` lists them",
        GitError::NoSuchBranch { .. } | GitError::NoCommit { .. } => {
            "`git branch --all` and `git tag` list what --branch may name"
        }
        GitError::Missing(missing) => match missing.lack {
            Lack::Partial => {
                "every commit before it is stored: `git fetch --refetch --no-filter` in the repository \
                 gets what was left out, then run the import again"
            }
            Lack::Borrowed { .. } => {
                "every commit before it is stored: put that folder back, or clone the repository \
                 whole, then run the import again"
            }
            Lack::Unknown => {
                "every commit before it is stored: `git fsck` says what the repository lacks; clone \
                 it whole, then run the import again"
            }
        },
        GitError::Unreadable { .. } => {
            "every commit before it is stored: `git fsck` says what is damaged; clone the repository \
             again, then run the import again"
        }
        GitError::Failed { .. } | GitError::Unexpected(_) => {
            "`git fsck` says whether the repository is sound"
        }
    }
}
