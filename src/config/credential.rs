//! Credentials by reference: a file or an environment variable, never the secret itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::mistake::Mistake;
use super::raw::SourceLine;

/// A credential is a key or certificate chain: more bytes are a mistake.
const CREDENTIAL_BYTES_MAX: u64 = 1024 * 1024;

/// Gives the text behind a credential's reference. The error says why it cannot be read, and quotes
/// nothing of it.
pub type CredentialResolver<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// A reference as the settings have it.
#[derive(Debug, Clone)]
pub struct CredentialReference {
    pub(super) text: String,
    /// The setting, as `server.tls.key`.
    pub(super) path: String,
    pub(super) place: SourceLine,
}

impl CredentialReference {
    /// What is wrong with the credential, at the line that names it.
    pub fn mistake(&self, problem: &str, advice: &str) -> Mistake {
        self.place.mistake(&self.path, problem, advice)
    }
}

/// Where references are resolved from.
#[derive(Debug, Clone)]
pub struct CredentialSource {
    /// The folder that `file:` paths start from.
    pub base: PathBuf,
}

impl CredentialSource {
    pub fn new(base: &Path) -> Self {
        Self { base: base.to_owned() }
    }

    /// The text behind `file:path` or `env:NAME`, without blanks at its ends.
    ///
    /// The error says what is missing and never holds any of the credential.
    pub fn resolve(&self, reference: &str) -> Result<String, String> {
        let text = if let Some(path) = reference.strip_prefix("file:") {
            self.read_file(path)?
        } else if let Some(name) = reference.strip_prefix("env:") {
            std::env::var(name)
                .map_err(|_| format!("the environment variable `{name}` is not set"))?
        } else {
            return Err("a credential is a reference: write file:path or env:NAME".to_owned());
        };
        let text = text.trim();
        if text.is_empty() {
            return Err("the credential behind the reference is empty".to_owned());
        }
        Ok(text.to_owned())
    }

    /// The text behind a setting.
    pub fn read(&self, reference: &CredentialReference) -> Result<Zeroizing<String>, Mistake> {
        let advice = "name a file that the daemon may read, or a variable that is set";
        let text = self.resolve(&reference.text).map(Zeroizing::new);
        text.map_err(|problem| reference.mistake(&problem, advice))
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        let whole = self.base.join(path);
        let length = std::fs::metadata(&whole)
            .map_err(|error| format!("the file `{}` cannot be read: {error}", whole.display()))?
            .len();
        if length > CREDENTIAL_BYTES_MAX {
            return Err(format!("the file `{}` is too large for a credential", whole.display()));
        }
        std::fs::read_to_string(&whole).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => format!(
                "the file `{}` is no text; openssl makes PEM of PKCS#12 and DER files (PKCS#12: \
                 `openssl pkcs12 -in FILE -nodes -out PEM`)",
                whole.display()
            ),
            _ => format!("the file `{}` cannot be read: {error}", whole.display()),
        })
    }
}
