//! Reads the channel's own keys for a rehearsal: those that make what the file verifies.

use super::sign::SignReader;
use super::{Forms, read_constants, read_forms};
use crate::channel::protocol::declarative::far_side::{FarKeys, SignerPair};
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

/// Reads them from `[http]`, in a file that the adapter has read without a mistake. The resolvers
/// give, for a reference to a key, the private key of the channel's or of a stranger's pair; of a
/// shared key, the channel's is the same text as ours.
pub fn read_far_keys(
    http: &Section<'_>,
    resolve: &CredentialResolver<'_>,
    channel: &CredentialResolver<'_>,
    stranger: &CredentialResolver<'_>,
) -> FarKeys {
    let Forms { request, reply, notice } = read_forms(http);
    let constants = read_constants(http, resolve);
    let reader = SignReader { request, reply, notice, constants: &constants, resolve };
    let pair = |name: &str, form| {
        let channel = reader.far_signing(http, name, form, channel)?;
        Some(SignerPair { channel, stranger: reader.far_signing(http, name, form, stranger)? })
    };
    let replies = pair("verify", reply);
    let notices = pair("notice_verify", notice).or_else(|| pair("verify", notice));
    FarKeys { replies, notices }
}
