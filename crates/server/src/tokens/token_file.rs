//! The file of the tokens: read by the server, written by whoever makes and revokes them.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use spacefold::Timestamp;

use super::{TokenGrant, TokenRight, pattern::SpacePattern, token_error::TokenError};

/// What every token begins with.
const PREFIX: &str = "sfk1";

/// Random bytes of an id and of a secret.
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// What the hash of a secret is of, beside the secret.
const HASH_CONTEXT: &str = "spacefold 2026-11-30 token secrets";

/// Bytes of the file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A token as it is kept: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptToken {
    /// Its id, the part between the underscores.
    pub id: String,
    /// What it is good for.
    pub grant: TokenGrant,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledToken {
    hash: String,
    rights: Vec<String>,
    spaces: Vec<String>,
    created_at: String,
    expires_at: Option<String>,
    label: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledTokens {
    tokens: BTreeMap<String, FiledToken>,
}

/// What is known of the file: of which it is, and what it says.
struct ReadTokens {
    version: FileVersion,
    tokens: Arc<BTreeMap<String, CheckedToken>>,
}

struct CheckedToken {
    hash: blake3::Hash,
    grant: Arc<TokenGrant>,
    created_at: Timestamp,
}

/// What tells one content of the file from another: it is replaced, never changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

/// The tokens of a server, in a file with mode 0600 that is replaced whole. A token is
/// `sfk1_<id>_<secret>`, shown once, when it is made; a hash of the secret is kept, so that whoever reads
/// the file has no token. Clones share what was read.
///
/// # Examples
/// ```
/// use spacefold_server::{TokenFile, TokenGrant, TokenRight};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tokens.json");
/// let tokens = TokenFile::at(&path);
/// let token = tokens.create(TokenGrant::new([TokenRight::Read], ["*".parse()?]))?;
/// let kept = tokens.list()?;
/// assert!(token.starts_with(&format!("sfk1_{}_", kept[0].id)));
/// assert!(tokens.revoke(&kept[0].id)?);
/// assert!(tokens.list()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenFile(Arc<TokenFileParts>);

struct TokenFileParts {
    path: PathBuf,
    read: Mutex<Option<ReadTokens>>,
}

impl TokenFile {
    /// The tokens in the file at `path`, which need not be there: then there are none.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(TokenFileParts { path: path.into(), read: Mutex::default() }))
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Makes a token. It is good once this answers, and outlives a power cut.
    ///
    /// # Errors
    /// [`TokenError`]; no token was made.
    pub fn create(&self, grant: TokenGrant) -> Result<String, TokenError> {
        let (id, secret) = (random::<ID_BYTES>()?, random::<SECRET_BYTES>()?);
        let filed = FiledToken {
            hash: hash(&secret).to_hex().to_string(),
            rights: grant.rights.iter().map(|right| right.name().to_owned()).collect(),
            spaces: grant.spaces.iter().map(SpacePattern::to_string).collect(),
            created_at: Timestamp::now().to_string(),
            expires_at: grant.expires_at.map(|time| time.to_string()),
            label: grant.label,
        };
        let token = format!("{PREFIX}_{id}_{secret}");
        self.change(|tokens| drop(tokens.tokens.insert(id, filed)))?;
        Ok(token)
    }

    /// Every token, sorted by id, expired ones too.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn list(&self) -> Result<Vec<KeptToken>, TokenError> {
        let tokens = self.tokens()?;
        let kept = tokens.iter().map(|(id, token)| KeptToken {
            id: id.clone(),
            grant: TokenGrant::clone(&token.grant),
            created_at: token.created_at,
        });
        Ok(kept.collect())
    }

    /// Takes a token away; answers whether it was there. No request that comes after is let in by it;
    /// streams that are open go on.
    ///
    /// # Errors
    /// [`TokenError`]; the token is still good.
    pub fn revoke(&self, id: &str) -> Result<bool, TokenError> {
        self.change(|tokens| tokens.tokens.remove(id).is_some())
    }

    /// What a token grants now; `None` of one that is not kept, expired, or of no such form.
    ///
    /// # Errors
    /// [`TokenError`] where the file cannot be read, or others may.
    ///
    /// # Cost
    /// A look at what the file is; it is read again where it was replaced.
    pub(crate) fn grant(&self, token: &str) -> Result<Option<Arc<TokenGrant>>, TokenError> {
        let mut parts = token.splitn(3, '_');
        let (Some(PREFIX), Some(id), Some(secret)) = (parts.next(), parts.next(), parts.next())
        else {
            return Ok(None);
        };
        let tokens = self.tokens()?;
        // Compared in a time that tells nothing.
        let found = tokens.get(id).filter(|found| found.hash == hash(secret));
        let grant = found.map(|found| Arc::clone(&found.grant));
        let now = Timestamp::now();
        Ok(grant.filter(|grant| grant.expires_at.is_none_or(|end| now < end)))
    }

    fn failed(&self, cause: io::Error) -> TokenError {
        TokenError::File { path: self.0.path.clone(), cause }
    }

    fn malformed(&self, why: impl fmt::Display) -> TokenError {
        TokenError::Malformed { path: self.0.path.clone(), why: why.to_string() }
    }

    /// What the file says by now.
    fn tokens(&self) -> Result<Arc<BTreeMap<String, CheckedToken>>, TokenError> {
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(version) = self.version()? else {
            *read = None;
            return Ok(Arc::default());
        };
        if let Some(known) = &*read
            && known.version == version
        {
            return Ok(Arc::clone(&known.tokens));
        }
        let tokens = Arc::new(self.checked(self.filed()?)?);
        *read = Some(ReadTokens { version, tokens: Arc::clone(&tokens) });
        Ok(tokens)
    }

    /// What the file is; `None` where it is not there.
    fn version(&self) -> Result<Option<FileVersion>, TokenError> {
        let metadata = match fs::metadata(&self.0.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| self.failed(error))?,
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(TokenError::TooOpen { path: self.0.path.clone(), mode });
        }
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Some(FileVersion { inode: metadata.ino(), modified, bytes: metadata.len() }))
    }

    fn filed(&self) -> Result<FiledTokens, TokenError> {
        let mut text = Vec::new();
        let file = File::open(&self.0.path).map_err(|error| self.failed(error))?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(|error| self.failed(error))?;
        if u64::try_from(text.len()).is_ok_and(|bytes| bytes > MAX_FILE_BYTES) {
            return Err(self.malformed(format_args!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        serde_json::from_slice(&text).map_err(|error| self.malformed(error))
    }

    fn checked(&self, filed: FiledTokens) -> Result<BTreeMap<String, CheckedToken>, TokenError> {
        let time = |text: &str| text.parse::<Timestamp>().map_err(|error| self.malformed(error));
        let check = |token: FiledToken| {
            let rights = token.rights.iter().map(|right| right.parse::<TokenRight>());
            let rights = rights.collect::<Result<_, _>>().map_err(|why| self.malformed(why))?;
            let spaces = token.spaces.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
            let hash = blake3::Hash::from_hex(&token.hash);
            Ok(CheckedToken {
                hash: hash.map_err(|error| self.malformed(error))?,
                grant: Arc::new(TokenGrant {
                    rights,
                    spaces,
                    expires_at: token.expires_at.as_deref().map(time).transpose()?,
                    label: token.label,
                }),
                created_at: time(&token.created_at)?,
            })
        };
        filed.tokens.into_iter().map(|(id, token)| Ok((id, check(token)?))).collect()
    }

    /// Replaces the file by one that is changed. Of several who do so at once, in whichever process,
    /// one does after the other.
    fn change<T>(&self, change: impl FnOnce(&mut FiledTokens) -> T) -> Result<T, TokenError> {
        let failed = |error| self.failed(error);
        let folder = self.0.path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let locked = File::open(folder).map_err(failed)?;
        locked.lock().map_err(failed)?;
        let mut tokens = match self.version()? {
            Some(_) => self.filed()?,
            None => FiledTokens::default(),
        };
        let changed = change(&mut tokens);
        let text = serde_json::to_vec_pretty(&tokens).map_err(|error| self.malformed(error))?;
        // Temporary files have mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.0.path).map_err(|error| self.failed(error.error))?;
        locked.sync_all().map_err(failed)?;
        Ok(changed)
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenFile").field(&self.0.path).finish()
    }
}

/// Random bytes, in hexadecimal digits.
fn random<const BYTES: usize>() -> Result<String, TokenError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash(secret: &str) -> blake3::Hash {
    blake3::Hash::from_bytes(blake3::derive_key(HASH_CONTEXT, secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> TokenGrant {
        TokenGrant::new([TokenRight::Read], ["a*".parse().unwrap()]).labelled("me")
    }

    #[test]
    fn a_token_is_good_until_it_is_revoked_or_expires() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenFile::at(folder.path().join("tokens.json"));
        assert!(tokens.grant("sfk1_a_b").unwrap().is_none());
        let token = tokens.create(grant()).unwrap();
        assert_eq!(tokens.grant(&token).unwrap().as_deref(), Some(&grant()));
        // Another process reads what this one wrote.
        let another = TokenFile::at(tokens.path());
        assert!(another.grant(&token).unwrap().is_some());
        let text = fs::read_to_string(tokens.path()).unwrap();
        let secret = token.rsplit('_').next().unwrap();
        assert!(!text.contains(secret), "the secret is in the file");
        let id = &tokens.list().unwrap()[0].id;
        for wrong in [
            format!("sfk1_{id}_{}", "0".repeat(64)),
            format!("sfk1_{id}_"),
            format!("sfk1_{id}"),
            format!("sfk2_{id}_{secret}"),
            format!("{token}0"),
            token.to_uppercase(),
            String::new(),
        ] {
            assert!(tokens.grant(&wrong).unwrap().is_none(), "{wrong}");
        }
        let past = Timestamp::now();
        let expired = tokens.create(grant().until(past)).unwrap();
        assert!(tokens.grant(&expired).unwrap().is_none());
        assert_eq!(another.list().unwrap().len(), 2);
        assert!(another.revoke(id).unwrap() && !another.revoke(id).unwrap());
        assert!(tokens.grant(&token).unwrap().is_none());
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_damaged_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = TokenFile::at(folder.path().join("tokens.json"));
        let token = tokens.create(grant()).unwrap();
        let mode = |mode| fs::set_permissions(tokens.path(), fs::Permissions::from_mode(mode));
        assert_eq!(fs::metadata(tokens.path()).unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o640).unwrap();
        assert!(matches!(tokens.grant(&token), Err(TokenError::TooOpen { mode: 0o640, .. })));
        assert!(tokens.create(grant()).is_err());
        mode(0o600).unwrap();
        assert!(tokens.grant(&token).unwrap().is_some());
        for damage in ["", "{}", "{\"tokens\": {\"a\": {}}}", "\u{0}"] {
            fs::write(tokens.path(), damage).unwrap();
            assert!(matches!(tokens.grant(&token), Err(TokenError::Malformed { .. })), "{damage}");
            assert!(tokens.create(grant()).is_err());
        }
        fs::remove_file(tokens.path()).unwrap();
        assert!(tokens.grant(&token).unwrap().is_none());
    }

    #[test]
    fn tokens_made_at_once_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..10).for_each(|_| drop(TokenFile::at(&path).create(grant()).unwrap()))
                });
            }
        });
        assert_eq!(TokenFile::at(&path).list().unwrap().len(), 40);
    }
}
