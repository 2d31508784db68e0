//! `spacefold checkout`

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
};

use clap::Args;
use serde::Serialize;
use spacefold::{
    Snapshot, Timestamp, Value,
    content::{ContentError, ContentHash},
    state::Document,
};
use spacefold_event_core::bytes::to_u64;

use super::{content, selection};
use crate::{
    door::read_door::{ContentFailure, ReadDoor},
    error::{Failure, Status, hint_about},
    git::{ATTRIBUTE_MODE, ATTRIBUTE_PATH_HEX},
    interrupt,
    output::{CellTable, number, text},
    session::CliSession,
    target,
    tree::{FileKind, OutputTree, RefusedPath, TreeError, TreePath},
};

/// Bytes of the target of a symbolic link.
const MAX_TARGET_BYTES: u64 = 4_096;
/// Documents that a message names.
const MAX_NAMED: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct Checkout {
    /// The id of the space.
    #[arg(value_name = "SPACE")]
    space_id: String,

    /// The folder that its documents are written to; it is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// As of this position.
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    at: Option<u64>,

    /// As of this time, such as 2015-12-11T22:50:02+00:00; a date alone is its first instant in UTC.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,

    /// Write into a folder that is not empty, over what is there under the paths of documents.
    #[arg(long)]
    overwrite: bool,

    /// Leave out documents whose content is not stored here, has no BLAKE3 hash or is damaged, write
    /// all the rest, and list what was left out. The exit code is 0 then, and 3 if any is damaged.
    #[arg(long)]
    skip_missing: bool,
}

#[derive(Serialize)]
struct PrintedCheckout {
    space_id: String,
    position: u64,
    files: u64,
    bytes: u64,
    without_content: u64,
    /// Without `--skip-missing` there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Vec<Skipped>>,
}

/// A document that is not written.
#[derive(Debug, Serialize)]
struct Skipped {
    document_id: String,
    path: String,
    content_hash: String,
    reason: Reason,
}

/// Why a document is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// Its content is not stored here.
    Missing,
    /// What it names is no hash of a content that could be.
    UnknownHash,
    /// Its content is damaged.
    Damaged,
}

impl Reason {
    const fn text(self) -> &'static str {
        match self {
            Self::Missing => "not stored here",
            Self::UnknownHash => "no BLAKE3 hash",
            Self::Damaged => "damaged",
        }
    }
}

/// What is to be written, and what cannot be.
struct Plan {
    files: BTreeMap<TreePath, Planned>,
    without_content: u64,
    skipped: Vec<Skipped>,
}

/// A document that becomes a file.
struct Planned {
    document_id: String,
    kind: FileKind,
    content: Option<ContentHash>,
}

impl Checkout {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let store = session.read_states()?;
        let snapshot = self.snapshot(&*store)?;
        let mut plan = self.plan(&snapshot)?;
        self.leave_out_missing(&*store, &mut plan)?;
        let tree = self.tree(&plan)?;
        let mut printed = PrintedCheckout {
            space_id: self.space_id.clone(),
            position: snapshot.position().get(),
            files: 0,
            bytes: 0,
            without_content: plan.without_content,
            skipped: None,
        };
        let mut skipped = plan.skipped;
        // Links come last, so that nothing is written through one.
        let (links, files): (Vec<_>, Vec<_>) =
            plan.files.iter().partition(|(_, planned)| planned.kind == FileKind::Link);
        for (path, planned) in files.into_iter().chain(links) {
            interrupt::check()?;
            match self.write(&*store, &tree, path, planned)? {
                Ok(bytes) => {
                    printed.bytes += bytes;
                    printed.files += 1;
                }
                Err(reason) => skipped.push(planned.skipped(path, reason)),
            }
        }
        let damaged = skipped.iter().filter(|skipped| skipped.reason == Reason::Damaged).count();
        printed.skipped = self.skip_missing.then_some(skipped);
        self.print(&printed, session)?;
        store.close()?;
        if damaged > 0 {
            return Err(Failure::new(
                Status::Damaged,
                format_args!("the content of {damaged} documents is damaged; the rest is written"),
                format_args!("space {:?}", self.space_id),
                "`spacefold verify` says what is damaged; `spacefold content put` of the same content \
                 mends it",
            ));
        }
        Ok(())
    }

    fn snapshot(&self, store: &dyn ReadDoor) -> Result<Snapshot, Failure> {
        let at = selection::moment(store, self.at, self.as_of)?;
        store.snapshot(&self.space_id, at)
    }

    /// Where every document goes; nothing is written before all of them have a place.
    fn plan(&self, snapshot: &Snapshot) -> Result<Plan, Failure> {
        let mut plan = Plan { files: BTreeMap::new(), without_content: 0, skipped: Vec::new() };
        for (document_id, document) in snapshot.documents() {
            let kind = kind_of(document);
            let path = path_of(document, kind).map_err(|why| {
                let what = format!("document {document_id:?} at {:?}: {why}", document.path());
                self.refused(&what, "move the document to a path inside of the space")
            })?;
            let mut planned = Planned { document_id: document_id.to_owned(), kind, content: None };
            match (kind, document.content_hash()) {
                (FileKind::EmptyFolder, _) => {}
                (_, None) => {
                    plan.without_content += 1;
                    continue;
                }
                (_, Some(hash)) => match hash.content_hash() {
                    Some(hash) => planned.content = Some(hash),
                    None if self.skip_missing => {
                        let content_hash = hash.to_string();
                        let skipped = planned.skipped(&path, Reason::UnknownHash);
                        plan.skipped.push(Skipped { content_hash, ..skipped });
                        continue;
                    }
                    None => {
                        let hash = hash.as_str();
                        let what = format!(
                            "document {document_id:?} has content {hash:?}, no BLAKE3 hash"
                        );
                        return Err(self.refused(
                            &what,
                            "set its content with content that is stored here, or write the rest \
                             with --skip-missing",
                        ));
                    }
                },
            }
            if let Some(other) = plan.files.insert(path.clone(), planned) {
                let other = other.document_id;
                let what = format!("documents {other:?} and {document_id:?} are both at {path}");
                return Err(self.refused(&what, "move one of them to another path"));
            }
        }
        // A path and what is below it are neighbours or have only such between them.
        let folders = plan.files.keys().filter_map(|path| {
            path.folders().find_map(|folder| plan.files.get(&folder).map(|other| (path, other)))
        });
        let mut in_files = folders.filter(|(_, other)| other.kind != FileKind::EmptyFolder);
        if let Some((path, other)) = in_files.next() {
            let what =
                format!("document {:?} is a file, and {path} is below it", other.document_id);
            return Err(self.refused(&what, "move one of them to another path"));
        }
        drop(in_files);
        Ok(plan)
    }

    /// Takes what has no content here off the plan, or refuses the whole.
    fn leave_out_missing(&self, store: &dyn ReadDoor, plan: &mut Plan) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for (path, planned) in &plan.files {
            let Some(hash) = &planned.content else { continue };
            match store.open_content(hash) {
                // Of what is damaged some may be here: it is told apart when it is written.
                Ok(_) | Err(ContentFailure::Content(ContentError::Damaged { .. })) => {}
                Err(ContentFailure::Content(ContentError::Missing { .. })) => {
                    missing.push(path.clone());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.skip_missing {
            for path in missing {
                if let Some(planned) = plan.files.remove(&path) {
                    plan.skipped.push(planned.skipped(&path, Reason::Missing));
                }
            }
            return Ok(());
        }
        if missing.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = missing.iter().take(MAX_NAMED).map(TreePath::to_string).collect();
        let what = format!(
            "the content of {} documents is not stored here: {}{}",
            missing.len(),
            named.join(", "),
            if missing.len() > MAX_NAMED { ", …" } else { "" }
        );
        let hint = "store it with `spacefold content put FILE`, then try again, or write the rest with \
                    --skip-missing";
        Err(self.refused(&what, hint))
    }

    fn tree(&self, plan: &Plan) -> Result<OutputTree, Failure> {
        target::check_folder(&self.folder)?;
        let failed = |error: std::io::Error| {
            let what = format_args!("the folder cannot be written to: {error}");
            let hint = hint_about(&error, "name another folder");
            Failure::new(Status::Failed, what, self.folder.display(), hint)
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let is_empty = fs::read_dir(&self.folder).map_err(failed)?.next().is_none();
        if !is_empty && !self.overwrite {
            return Err(Failure::new(
                Status::Failed,
                "the folder is not empty",
                self.folder.display(),
                "name an empty folder, or say --overwrite",
            ));
        }
        if !is_empty {
            // What is there may have a store in it.
            let folders: BTreeSet<TreePath> =
                plan.files.keys().flat_map(TreePath::folders).collect();
            for folder in folders {
                target::check_no_store(&folder.below(&self.folder))?;
            }
        }
        OutputTree::open(&self.folder).map_err(|error| self.failed(error.path.as_ref(), &error))
    }

    /// Writes a file, and answers its bytes, or why it is skipped.
    fn write(
        &self,
        store: &dyn ReadDoor,
        tree: &OutputTree,
        path: &TreePath,
        planned: &Planned,
    ) -> Result<Result<u64, Reason>, Failure> {
        let failed = |error: TreeError| self.failed(Some(path), &error);
        let Some(hash) = &planned.content else {
            tree.make_folder(path).map_err(failed)?;
            return Ok(Ok(0));
        };
        let written = if planned.kind == FileKind::Link {
            self.write_link(store, tree, path, hash)
        } else {
            self.write_file(store, tree, path, planned.kind, hash)
        };
        match written {
            Err(ContentFailure::Content(ContentError::Damaged { .. })) if self.skip_missing => {
                Ok(Err(Reason::Damaged))
            }
            Err(ContentFailure::Content(ContentError::Missing { .. })) if self.skip_missing => {
                Ok(Err(Reason::Missing))
            }
            Err(ContentFailure::Content(error)) => Err(error.into()),
            Err(ContentFailure::Other(failure)) => Err(failure),
            Ok(bytes) => Ok(Ok(bytes)),
        }
    }

    fn write_link(
        &self,
        store: &dyn ReadDoor,
        tree: &OutputTree,
        path: &TreePath,
        hash: &ContentHash,
    ) -> Result<u64, ContentFailure> {
        let mut reader = store.open_content(hash)?;
        let bytes = reader.content_bytes();
        if bytes > MAX_TARGET_BYTES {
            let limit = MAX_TARGET_BYTES;
            return Err(ContentError::PastLimit { hash: *hash, bytes, limit }.into());
        }
        let mut target = Vec::new();
        let read = io::Read::read_to_end(&mut reader, &mut target);
        read.map_err(|error| ContentError::of_reading(*hash, error))?;
        tree.make_link(path, &target).map_err(|error| self.failed(Some(path), &error))?;
        Ok(to_u64(target.len()))
    }

    fn write_file(
        &self,
        store: &dyn ReadDoor,
        tree: &OutputTree,
        path: &TreePath,
        kind: FileKind,
        hash: &ContentHash,
    ) -> Result<u64, ContentFailure> {
        let failed = |error: TreeError| ContentFailure::Other(self.failed(Some(path), &error));
        let mut reader = store.open_content(hash)?;
        let bytes = reader.content_bytes();
        let mut file = tree.make_file(path, kind).map_err(failed)?;
        let copied = content::copy(&mut reader, hash, &mut |bytes| {
            io::Write::write_all(&mut file, bytes)
                .map_err(|error| failed(TreeError { path: None, error }))
        });
        if copied.is_err() {
            // Half of a file is taken for all of it.
            drop(file);
            tree.remove_file(path).map_err(failed)?;
        }
        copied.map(|()| bytes)
    }

    fn failed(&self, path: Option<&TreePath>, error: &TreeError) -> Failure {
        let place = path.map_or_else(|| self.folder.clone(), |path| path.below(&self.folder));
        Failure::new(
            Status::Failed,
            format_args!("the file cannot be written: {error}"),
            place.display(),
            hint_about(
                &error.error,
                "what was written before stays: empty the folder and try again",
            ),
        )
    }

    fn refused(&self, what: &str, hint: &str) -> Failure {
        Failure::new(Status::Failed, what, format_args!("space {:?}", self.space_id), hint)
    }

    fn print(&self, printed: &PrintedCheckout, session: &mut CliSession) -> Result<(), Failure> {
        if session.json {
            session.output.json(printed)?;
        } else {
            let mut table = CellTable::new();
            table.row([text("folder"), text(self.folder.display().to_string())]);
            table.row([text("position"), number(printed.position)]);
            table.row([text("files"), number(printed.files)]);
            table.row([text("bytes"), number(printed.bytes)]);
            table.row([text("without content"), number(printed.without_content)]);
            let skipped = printed.skipped.as_deref().unwrap_or_default();
            if self.skip_missing {
                table.row([text("skipped"), number(to_u64(skipped.len()))]);
            }
            session.output.table(&table)?;
            for Skipped { path, reason, .. } in skipped {
                session.output.line(&format!("skipped {path}: {}", reason.text()))?;
            }
        }
        session.output.flush()
    }
}

impl Planned {
    fn skipped(&self, path: &TreePath, reason: Reason) -> Skipped {
        let content_hash = self.content.map(|hash| hash.to_string()).unwrap_or_default();
        let (document_id, path) = (self.document_id.clone(), path.to_string());
        Skipped { document_id, path, content_hash, reason }
    }
}

/// Where a document goes, from its path, or the bytes of it where they are kept.
fn path_of(document: &Document, kind: FileKind) -> Result<TreePath, RefusedPath> {
    match document.attributes().get(ATTRIBUTE_PATH_HEX).and_then(Value::as_str) {
        Some(hex) => {
            let bytes = crate::git::path_bytes(hex).ok_or(RefusedPath::Unreadable)?;
            TreePath::new(&bytes, kind)
        }
        None => TreePath::new(document.path().as_bytes(), kind),
    }
}

/// What a document becomes.
fn kind_of(document: &Document) -> FileKind {
    match document.attributes().get(ATTRIBUTE_MODE).and_then(Value::as_str) {
        Some("100755") => FileKind::Program,
        Some("120000") => FileKind::Link,
        Some("160000") => FileKind::EmptyFolder,
        _ => FileKind::Plain,
    }
}
