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

use zeroize::Zeroizing;

use crate::app::folder::{DataFolder, KEYS};
use crate::codec::seal::{DigestKey, SealKey, SealKeys};
use crate::codec::sign::{HmacKey, hex_lower, sha256};
use crate::config::checked::{Caller, Role};
use crate::config::credential::CredentialSource;
use crate::domain::ids::CallerId;
use crate::engine::Vault;
use crate::entropy::Entropy;

/// The id of the seal key that a first start makes.
const FIRST_SEAL_KEY: &str = "k1";

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
    #[error("the notice key: {problem}")]
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

    /// The key that signs notices to the core: the referenced one, else one that we make.
    pub fn notice(
        &mut self,
        reference: Option<&str>,
        base: &Path,
        entropy: &Entropy,
    ) -> Result<HmacKey, KeysError> {
        let Some(reference) = reference else {
            // The core is given the file's text, so the text is the key.
            self.key("notice", entropy)?;
            let path = self.folder.join("notice");
            let text = Zeroizing::new(read(&path)?);
            return Ok(HmacKey::new(text.trim().as_bytes()));
        };
        let resolved = CredentialSource::new(base).resolve(reference);
        let text = Zeroizing::new(resolved.map_err(|problem| KeysError::Reference { problem })?);
        Ok(HmacKey::new(text.as_bytes()))
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
        self.write("first-caller.sha256", &hex_lower(&hash))?;
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
            self.write(name, &hex_lower(key.as_slice()))?;
            key
        };
        let fingerprint = fingerprint(name, &key);
        if known.is_some_and(|known| known != fingerprint) {
            return Err(KeysError::Other { path });
        }
        self.used.insert(name.to_owned(), fingerprint);
        Ok(key)
    }

    /// Writes a new file, durably, before anything is sealed with its key.
    fn write(&self, name: &str, text: &str) -> Result<(), KeysError> {
        let path = self.folder.join(name);
        let write = || {
            let fresh = self.folder.join(format!("{name}.new"));
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| KeysError::Io { path: path.clone(), source })
    }
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
    Caller { name, roles, key_sha256, certificate_keys_sha256: Vec::new() }
}
