//! `spacefold checkout`

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use clap::Args;
use serde::Serialize;
use spacefold::{ContentHash, ContentStore as _, Document, Snapshot, Spacefold, Timestamp, Value};

use super::{content, selection};
use crate::{
    error::{Failure, Status},
    git::{ATTRIBUTE_MODE, ATTRIBUTE_PATH_HEX},
    interrupt,
    output::{Table, number, text},
    session::Session,
    target,
    tree::{FileKind, Tree, TreeError, TreePath},
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
}

#[derive(Serialize)]
struct Printed {
    space_id: String,
    position: u64,
    files: u64,
    bytes: u64,
    without_content: u64,
}

/// What is to be written.
struct Plan {
    files: BTreeMap<TreePath, Planned>,
    without_content: u64,
}

/// A document that becomes a file.
struct Planned {
    document_id: String,
    kind: FileKind,
    content: Option<ContentHash>,
}

impl Checkout {
    pub(crate) fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let store = session.open_existing()?;
        let snapshot = self.snapshot(&store)?;
        let plan = self.plan(&snapshot)?;
        self.check_contents(&store, &plan)?;
        let tree = self.tree(&plan)?;
        let mut printed = Printed {
            space_id: self.space_id.clone(),
            position: snapshot.position().get(),
            files: 0,
            bytes: 0,
            without_content: plan.without_content,
        };
        // Links come last, so that nothing is written through one.
        let (links, files): (Vec<_>, Vec<_>) =
            plan.files.iter().partition(|(_, planned)| planned.kind == FileKind::Link);
        for (path, planned) in files.into_iter().chain(links) {
            interrupt::check()?;
            printed.bytes += self.write(&store, &tree, path, planned)?;
            printed.files += 1;
        }
        self.print(&printed, session)?;
        Ok(store.close()?)
    }

    fn snapshot(&self, store: &Spacefold) -> Result<Snapshot, Failure> {
        let at = selection::moment(store, self.at, self.as_of)?;
        selection::state(store, &self.space_id, at)
    }

    /// Where every document goes; nothing is written before all of them have a place.
    fn plan(&self, snapshot: &Snapshot) -> Result<Plan, Failure> {
        let mut plan = Plan { files: BTreeMap::new(), without_content: 0 };
        for (document_id, document) in snapshot.documents() {
            let path = path_of(document).map_err(|what| {
                let what = format!("document {document_id:?} at {:?}: {what}", document.path());
                self.refused(&what, "move the document to a path inside of the space")
            })?;
            let Some(planned) = planned(document_id, document).map_err(|what| {
                self.refused(&what, "set its content with content that is stored here")
            })?
            else {
                plan.without_content += 1;
                continue;
            };
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

    fn check_contents(&self, store: &Spacefold, plan: &Plan) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for (path, planned) in &plan.files {
            if let Some(hash) = &planned.content
                && !store.content().contains(hash)?
            {
                missing.push(path.to_string());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = missing.iter().take(MAX_NAMED).map(String::as_str).collect();
        let what = format!(
            "the content of {} documents is not stored here: {}{}",
            missing.len(),
            named.join(", "),
            if missing.len() > MAX_NAMED { ", …" } else { "" }
        );
        Err(self.refused(&what, "store it with `spacefold content put FILE`, then try again"))
    }

    fn tree(&self, plan: &Plan) -> Result<Tree, Failure> {
        target::check_folder(&self.folder)?;
        let failed = |error: std::io::Error| {
            let what = format_args!("the folder cannot be written to: {error}");
            Failure::new(Status::Failed, what, self.folder.display(), "name another folder")
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
        Tree::open(&self.folder).map_err(|error| self.failed(error.path.as_ref(), &error))
    }

    fn write(
        &self,
        store: &Spacefold,
        tree: &Tree,
        path: &TreePath,
        planned: &Planned,
    ) -> Result<u64, Failure> {
        let failed = |error: TreeError| self.failed(Some(path), &error);
        let Some(hash) = &planned.content else {
            tree.make_folder(path).map_err(failed)?;
            return Ok(0);
        };
        let mut reader = store.content().open(hash)?;
        let bytes = reader.content_bytes();
        if planned.kind == FileKind::Link {
            let target = store.content().get(hash, MAX_TARGET_BYTES)?;
            tree.make_link(path, &target).map_err(failed)?;
            return Ok(bytes);
        }
        let mut file = tree.make_file(path, planned.kind).map_err(failed)?;
        content::copy(&mut reader, hash, &mut |bytes| {
            std::io::Write::write_all(&mut file, bytes)
                .map_err(|error| failed(TreeError { path: None, error }))
        })?;
        Ok(bytes)
    }

    fn failed(&self, path: Option<&TreePath>, error: &TreeError) -> Failure {
        let place = path.map_or_else(|| self.folder.clone(), |path| path.below(&self.folder));
        Failure::new(
            Status::Failed,
            format_args!("the file cannot be written: {error}"),
            place.display(),
            "what was written before stays: empty the folder and try again",
        )
    }

    fn refused(&self, what: &str, hint: &str) -> Failure {
        Failure::new(Status::Failed, what, format_args!("space {:?}", self.space_id), hint)
    }

    fn print(&self, printed: &Printed, session: &mut Session) -> Result<(), Failure> {
        if session.json {
            session.output.json(printed)?;
        } else {
            let mut table = Table::new();
            table.row([text("folder"), text(self.folder.display().to_string())]);
            table.row([text("position"), number(printed.position)]);
            table.row([text("files"), number(printed.files)]);
            table.row([text("bytes"), number(printed.bytes)]);
            table.row([text("without content"), number(printed.without_content)]);
            session.output.table(&table)?;
        }
        session.output.flush()
    }
}

/// Where a document goes, from its path, or the bytes of it where they are kept.
fn path_of(document: &Document) -> Result<TreePath, &'static str> {
    match document.attributes().get(ATTRIBUTE_PATH_HEX).and_then(Value::as_str) {
        Some(hex) => {
            let bytes = crate::git::path_bytes(hex).ok_or("the bytes of its path do not read")?;
            TreePath::new(&bytes)
        }
        None => TreePath::new(document.path().as_bytes()),
    }
}

/// What a document becomes; nothing when it has no content.
fn planned(document_id: &str, document: &Document) -> Result<Option<Planned>, String> {
    let mode = document.attributes().get(ATTRIBUTE_MODE).and_then(Value::as_str);
    let kind = match mode {
        Some("100755") => FileKind::Program,
        Some("120000") => FileKind::Link,
        Some("160000") => FileKind::EmptyFolder,
        _ => FileKind::Plain,
    };
    let planned = |content| Some(Planned { document_id: document_id.to_owned(), kind, content });
    match document.content_hash() {
        _ if kind == FileKind::EmptyFolder => Ok(planned(None)),
        None => Ok(None),
        Some(hash) => match hash.parse() {
            Ok(hash) => Ok(planned(Some(hash))),
            Err(_) => Err(format!("document {document_id:?} has content {hash:?}, no BLAKE3 hash")),
        },
    }
}
