//! The keys that the first start makes: for data at rest, for notices, and for a first caller.
//!
//! Each key is a file that only its owner may read, and belongs in the backup of the data folder:
//! without the seal key a sealed card number cannot be opened, and without the digest key a
//! repeated order cannot be compared with its first. So a key is made once: a folder that was used
//! with a key is refused without it, and with another one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::app::folder::{DataFolder, KEYS};
use crate::codec::seal::{DigestKey, SealKey, SealKeys};
use crate::codec::sign::{hex_lower, sha256};
use crate::codec::webhook::WebhookKey;
use crate::config::checked::{Caller, Role};
use crate::config::credential::CredentialSource;
use crate::domain::ids::CallerId;
use crate::engine::Vault;
use crate::entropy::Entropy;
use crate::workers::notices::NoticeKeys;

/// The id of the seal key that a first start makes.
const FIRST_SEAL_KEY: &str = "k1";
/// The file of the keys that sign notices: a key in each line, the newest first.
const NOTICE: &str = "notice";

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("the key file {} cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the key file {} does not hold 64 hexadecimal digits", path.display())]
    Form { path: PathBuf },
    #[error(
        "the data folder was used with the key {}, which is missing: restore it from the backup of \
         the data folder",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "the key file {} holds another key than the data folder was used with: restore it from the \
         backup of the data folder",
        path.display()
    )]
    Other { path: PathBuf },
    #[error(
        "the key file {} is missing: restore it from the backup of the data folder, or have \
         another key made with `switchyard notice rotate-key`",
        path.display()
    )]
    NoNoticeKey { path: PathBuf },
    #[error(
        "the key file {} must hold one or two lines, each a key for notices",
        path.display()
    )]
    NoticeForm { path: PathBuf },
    #[error(
        "two keys for notices are in force already, and a third would push out the one that the \
         core may still go by: once the core knows the newer one, `switchyard notice retire-key`; \
         if nobody was given the newer one, take the first line of {} away",
        path.display()
    )]
    NoticeRotation { path: PathBuf },
    #[error("a key for notices: {problem}")]
    Reference { problem: String },
}

/// The keys of one data folder.
pub struct Keys<'f> {
    data: &'f DataFolder,
    folder: PathBuf,
    /// The fingerprints of the keys that were requested.
    used: BTreeMap<String, String>,
}

impl<'f> Keys<'f> {
    /// Makes the folder below the data folder if it is not there.
    pub fn open(data: &'f DataFolder) -> Result<Self, KeysError> {
        let folder = data.path().join(KEYS);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| KeysError::Io { path: folder.clone(), source })?;
        Ok(Self { data, folder, used: BTreeMap::new() })
    }

    /// The fingerprints of the keys that were requested, by their names.
    pub fn fingerprints(self) -> BTreeMap<String, String> {
        self.used
    }

    /// The keys for card data at rest.
    pub fn vault(&mut self, entropy: &Entropy) -> Result<Vault, KeysError> {
        let seal = self.key("seal", entropy)?;
        let digest = self.key("digest", entropy)?;
        let seal = SealKey::new(FIRST_SEAL_KEY, seal.as_slice()).expect("32 bytes and a short id");
        let keys = SealKeys::new(seal, Vec::new()).expect("one key has one id");
        let digest = DigestKey::new(digest.as_slice()).expect("32 bytes are enough");
        Ok(Vault::new(keys, digest, entropy.clone()))
    }

    /// The keys that sign notices to the core, the newest first: those that the settings name, else
    /// those of the folder, of which a first start makes one. Nothing at rest depends on them, so
    /// that they have no fingerprint.
    pub fn notice(
        &self,
        references: &[String],
        base: &Path,
        entropy: &Entropy,
    ) -> Result<NoticeKeyRing, KeysError> {
        if references.is_empty() && !self.folder.join(NOTICE).exists() {
            if self.data.fingerprint("seal").is_some() {
                return Err(KeysError::NoNoticeKey { path: self.folder.join(NOTICE) });
            }
            write(&self.folder, NOTICE, &fresh_notice_key(entropy))?;
        }
        NoticeKeyRing::open(self.data.path(), references, base)
    }

    /// The callers of the settings; if there are none, the first caller, whose key is made once.
    /// The key itself is returned only when it is made: it is shown once and stored nowhere.
    pub fn callers(
        &self,
        configured: &[Caller],
        entropy: &Entropy,
    ) -> Result<(Vec<Caller>, Option<Zeroizing<String>>), KeysError> {
        if !configured.is_empty() {
            return Ok((configured.to_vec(), None));
        }
        let path = self.folder.join("first-caller.sha256");
        if path.exists() {
            let hash = parse(&read(&path)?).ok_or(KeysError::Form { path })?;
            return Ok((vec![first_caller(*hash)], None));
        }
        let mut secret = Zeroizing::new([0; 24]);
        entropy.fill(secret.as_mut_slice());
        let key = Zeroizing::new(format!("sy_{}", hex_lower(secret.as_slice())));
        let hash = sha256(key.as_bytes());
        write(&self.folder, "first-caller.sha256", &hex_lower(&hash))?;
        Ok((vec![first_caller(hash)], Some(key)))
    }

    /// The key of a name, made only if the folder was never used with one.
    fn key(&mut self, name: &str, entropy: &Entropy) -> Result<Zeroizing<[u8; 32]>, KeysError> {
        let path = self.folder.join(name);
        let known = self.data.fingerprint(name);
        let key = if path.exists() {
            let text = Zeroizing::new(read(&path)?);
            parse(&text).ok_or_else(|| KeysError::Form { path: path.clone() })?
        } else if known.is_some() {
            return Err(KeysError::Missing { path });
        } else {
            let mut key = Zeroizing::new([0; 32]);
            entropy.fill(key.as_mut_slice());
            write(&self.folder, name, &hex_lower(key.as_slice()))?;
            key
        };
        let fingerprint = fingerprint(name, &key);
        if known.is_some_and(|known| known != fingerprint) {
            return Err(KeysError::Other { path });
        }
        self.used.insert(name.to_owned(), fingerprint);
        Ok(key)
    }
}

/// Writes a file anew, durably, before anything depends on its key.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), KeysError> {
    let path = folder.join(name);
    let write = || {
        let fresh = folder.join(format!("{name}.new"));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| KeysError::Io { path: path.clone(), source })
}

/// The keys that sign notices, and where they are written.
pub struct NoticeKeyRing {
    keys: Arc<NoticeKeys>,
    data: PathBuf,
    references: Vec<String>,
    base: PathBuf,
}

impl NoticeKeyRing {
    fn open(data: &Path, references: &[String], base: &Path) -> Result<Self, KeysError> {
        let keys = Arc::new(NoticeKeys::new(notice_keys(data, references, base)?));
        let (data, base) = (data.to_owned(), base.to_owned());
        Ok(Self { keys, data, references: references.to_vec(), base })
    }

    pub fn keys(&self) -> Arc<NoticeKeys> {
        Arc::clone(&self.keys)
    }

    /// Reads them anew; where one is none, all stay as they were, with a line in the log.
    pub fn reload(&self) {
        match notice_keys(&self.data, &self.references, &self.base) {
            Ok(keys) => self.keys.replace(keys),
            Err(problem) => {
                let error = crate::telemetry::chain(&problem);
                tracing::error!(error, "the keys for notices stay as they were");
            }
        }
    }
}

/// The keys that sign notices, as they are written now: those that the settings name, else those of
/// the data folder.
fn notice_keys(
    data: &Path,
    references: &[String],
    base: &Path,
) -> Result<Vec<WebhookKey>, KeysError> {
    if references.is_empty() {
        let path = data.join(KEYS).join(NOTICE);
        let text = Zeroizing::new(read(&path)?);
        let keys: Result<Vec<WebhookKey>, _> = text.lines().map(WebhookKey::parse).collect();
        return keys
            .ok()
            .filter(|keys| (1..=2).contains(&keys.len()))
            .ok_or(KeysError::NoticeForm { path });
    }
    let source = CredentialSource::new(base);
    let key = |reference: &String| {
        let text = Zeroizing::new(source.resolve(reference)?);
        WebhookKey::parse(&text).map_err(|error| format!("{reference}: {error}"))
    };
    let keys: Result<Vec<WebhookKey>, String> = references.iter().map(key).collect();
    keys.map_err(|problem| KeysError::Reference { problem })
}

/// Makes another key for notices and puts it before the one in force, which stays beside it. The
/// answer is the path of the file. Refused while there are two: a rotation that is made twice,
/// since nobody knew whether the first one was, must not take the key away that the core knows.
pub fn rotate_notice_key(data: &Path, entropy: &Entropy) -> Result<PathBuf, KeysError> {
    let folder = data.join(KEYS);
    let path = folder.join(NOTICE);
    let in_force = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        // What was lost is made anew, in a folder that is one of ours.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
            Zeroizing::default()
        }
        Err(source) => return Err(KeysError::Io { path, source }),
    };
    if in_force.lines().count() > 1 {
        return Err(KeysError::NoticeRotation { path });
    }
    let fresh = fresh_notice_key(entropy);
    let lines = std::iter::once(fresh.as_str()).chain(in_force.lines());
    let text = Zeroizing::new(lines.collect::<Vec<_>>().join("\n"));
    write(&folder, NOTICE, &text)?;
    Ok(path)
}

/// Takes the older key away, once the core knows the newer one. The answer is the path of the file.
pub fn retire_notice_key(data: &Path) -> Result<PathBuf, KeysError> {
    let folder = data.join(KEYS);
    let path = folder.join(NOTICE);
    let text = Zeroizing::new(read(&path)?);
    let Some(newest) = text.lines().next() else {
        return Err(KeysError::NoticeForm { path });
    };
    write(&folder, NOTICE, newest)?;
    Ok(path)
}

fn fresh_notice_key(entropy: &Entropy) -> Zeroizing<String> {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut_slice());
    WebhookKey::text_of(&key)
}

/// Identifies a key without revealing it: 64 bits of a digest of 256 random ones.
fn fingerprint(name: &str, key: &[u8; 32]) -> String {
    let text = Zeroizing::new([b"switchyard key ", name.as_bytes(), b" ", key.as_slice()].concat());
    hex_lower(&sha256(&text)[..8])
}

fn read(path: &Path) -> Result<String, KeysError> {
    fs::read_to_string(path).map_err(|source| KeysError::Io { path: path.to_owned(), source })
}

fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.trim();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(key)
}

fn first_caller(key_sha256: [u8; 32]) -> Caller {
    let name = CallerId::parse("first").expect("a plain word");
    let roles = vec![Role::Core, Role::Operator];
    let person = name.clone();
    Caller { name, person, roles, key_sha256, certificate_keys_sha256: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        read(path).expect("a file").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_key_for_notices_is_changed_with_two_valid_between() {
        let data = tempfile::tempdir().expect("a folder");
        let entropy = Entropy::seeded(1);
        assert!(rotate_notice_key(data.path(), &entropy).is_err(), "it is no data folder");
        fs::create_dir(data.path().join(KEYS)).expect("a folder");
        let path = rotate_notice_key(data.path(), &entropy).expect("a key");
        let first = lines(&path);
        assert_eq!(first.len(), 1);
        rotate_notice_key(data.path(), &entropy).expect("a second");
        let both = lines(&path);
        assert_eq!((both.len(), &both[1]), (2, &first[0]), "the one in force stays");
        assert_ne!(both[0], both[1]);
        // Whoever is not sure that it was done does it again: the core's key must survive that.
        let again = rotate_notice_key(data.path(), &entropy).expect_err("two are in force");
        assert!(again.to_string().contains("retire-key"), "{again}");
        assert_eq!(lines(&path), both);
        assert_eq!(notice_keys(data.path(), &[], data.path()).expect("keys").len(), 2);
        retire_notice_key(data.path()).expect("one is left");
        assert_eq!(lines(&path), both[..1]);
        retire_notice_key(data.path()).expect("the last one never goes");
        assert_eq!(lines(&path), both[..1]);
        rotate_notice_key(data.path(), &entropy).expect("the next");
        assert_eq!(lines(&path)[1..], both[..1]);
        write(&data.path().join(KEYS), NOTICE, "not a key").expect("a file");
        assert!(notice_keys(data.path(), &[], data.path()).is_err());
    }
}
