//! `spacefold token`

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use spacefold::{Timestamp, admin::is_store};
use spacefold_server::{KeptToken, SpacePattern, TokenError, TokenFile, TokenGrant, TokenRight};

use crate::{
    error::{Failure, Status},
    output::{CellTable, text},
    session::CliSession,
    time_span::parse_time,
};

/// The name of the file in the folder of a store. No backup, fork or copy by `salvage` has it.
const FILE: &str = "tokens.json";

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    what: TokenCommand,
}

/// Where tokens are kept.
#[derive(Debug, Default, Args)]
pub(crate) struct TokensPlace {
    /// The file of the tokens; `tokens.json` in the folder of the store unless told.
    #[arg(long = "tokens", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl TokensPlace {
    /// The tokens of the store in a folder.
    pub(crate) fn file(&self, data: &Path) -> TokenFile {
        TokenFile::at(self.path.clone().unwrap_or_else(|| data.join(FILE)))
    }

    /// The same, for who writes the file: it goes into no folder that is no store's.
    fn file_of_store(&self, data: &Path) -> Result<TokenFile, Failure> {
        if self.path.is_none() && !is_store(data) {
            return Err(spacefold::OpenError::NoStore { path: data.to_owned() }.into());
        }
        Ok(self.file(data))
    }
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it: it is not kept, and cannot be printed again.
    Create(CreateToken),
    /// List the tokens, without their secrets.
    List(ListTokens),
    /// Let a token in no more. Streams that are open go on.
    Revoke(RevokeToken),
}

#[derive(Debug, Args)]
struct CreateToken {
    /// What it may do: read, append, command, admin.
    #[arg(long, value_name = "RIGHTS", required = true, value_delimiter = ',')]
    allow: Vec<TokenRight>,

    /// With which spaces: an id, in which each `*` stands for any text. May be given several times.
    #[arg(long, value_name = "PATTERN", required = true)]
    spaces: Vec<SpacePattern>,

    /// How long it is good for: `12h`, `30d`; for ever unless told.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<Duration>,

    /// Whose it is, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,

    #[command(flatten)]
    place: TokensPlace,
}

#[derive(Debug, Args)]
struct ListTokens {
    #[command(flatten)]
    place: TokensPlace,
}

#[derive(Debug, Args)]
struct RevokeToken {
    /// Its id: the part between the underscores.
    id: String,

    #[command(flatten)]
    place: TokensPlace,
}

#[derive(Serialize)]
struct PrintedToken<'a> {
    id: &'a str,
    /// The token itself, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    allow: Vec<&'static str>,
    spaces: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    label: &'a str,
}

impl TokenArgs {
    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        match &self.what {
            TokenCommand::Create(arguments) => arguments.run(session),
            TokenCommand::List(arguments) => arguments.run(session),
            TokenCommand::Revoke(arguments) => arguments.run(session),
        }
    }
}

impl CreateToken {
    fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let tokens = self.place.file_of_store(&session.data)?;
        let mut grant = TokenGrant::new(self.allow.iter().copied(), self.spaces.iter().cloned());
        grant = grant.labelled(&*self.label);
        if let Some(expires) = self.expires {
            grant = grant.until(end_of(expires)?);
        }
        let token = tokens.create(grant.clone()).map_err(failure)?;
        if !session.json {
            return session.output.line(&token);
        }
        let id = token.split('_').nth(1).unwrap_or_default();
        session.output.json(&PrintedToken { token: Some(&token), ..printed(id, &grant) })
    }
}

/// When a token ends that is good for this long from now on.
fn end_of(expires: Duration) -> Result<Timestamp, Failure> {
    let micros = i64::try_from(expires.as_micros()).ok();
    let end = micros.and_then(|micros| Timestamp::now().as_micros().checked_add(micros));
    end.and_then(Timestamp::from_micros).ok_or_else(|| {
        Failure::new(
            Status::Usage,
            "a token cannot be good for so long",
            "--expires",
            "leave --expires out for one that is good for ever",
        )
    })
}

impl ListTokens {
    fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let kept = self.place.file_of_store(&session.data)?.list().map_err(failure)?;
        if session.json {
            return kept.iter().try_for_each(|token| {
                let created_at = Some(token.created_at);
                let printed = PrintedToken { created_at, ..printed(&token.id, &token.grant) };
                session.output.json(&printed)
            });
        }
        let head = ["id", "may", "spaces", "created", "expires", "label"];
        let mut table = CellTable::new().head(head);
        kept.iter().for_each(|token| add_row(&mut table, token));
        session.output.table(&table)
    }
}

fn add_row(table: &mut CellTable, token: &KeptToken) {
    let printed = printed(&token.id, &token.grant);
    let expires = printed.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    table.row([
        text(printed.id),
        text(printed.allow.join(",")),
        text(printed.spaces.join(" ")),
        text(token.created_at.to_string()),
        text(expires),
        text(printed.label),
    ]);
}

impl RevokeToken {
    fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        let tokens = self.place.file_of_store(&session.data)?;
        if tokens.revoke(&self.id).map_err(failure)? {
            return Ok(());
        }
        Err(Failure::new(
            Status::Unknown,
            format_args!("there is no token {:?}", self.id),
            tokens.path().display(),
            "`spacefold token list` lists the tokens by their ids",
        ))
    }
}

fn printed<'a>(id: &'a str, grant: &'a TokenGrant) -> PrintedToken<'a> {
    PrintedToken {
        id,
        token: None,
        allow: grant.rights.iter().map(|right| right.name()).collect(),
        spaces: grant.spaces.iter().map(SpacePattern::to_string).collect(),
        created_at: None,
        expires_at: grant.expires_at,
        label: &grant.label,
    }
}

/// How a command ends that the file of the tokens is in the way of.
pub(crate) fn failure(error: TokenError) -> Failure {
    Failure::caused(&error, "the tokens", "check the file and its folder; no token was changed")
}
