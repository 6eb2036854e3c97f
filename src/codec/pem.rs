//! PEM text (RFC 7468): the armoured blocks in which keys and certificates are handed out.
//!
//! Lenient where the field is: text around the blocks is skipped (`openssl pkcs12` prints "Bag
//! Attributes"), and line breaks may be CRLF, doubled or lost, because certificates also travel
//! inside message fields. Knows nothing of what a block holds. Block contents are wiped on drop.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Bytes of PEM text that are read: a long certificate chain has about 20 KiB.
pub const PEM_BYTES_MAX: usize = 256 * 1024;
/// Blocks in one text.
pub const PEM_BLOCKS_MAX: usize = 64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Why a text cannot be read as PEM. Never quotes the text: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("the PEM text has {length} bytes, more than the {PEM_BYTES_MAX} allowed")]
    TooLong { length: usize },
    #[error("the PEM text has more than {PEM_BLOCKS_MAX} blocks")]
    TooManyBlocks,
    #[error(
        "there is no PEM block (-----BEGIN …-----); a PKCS#12 file (.pfx, .p12) is converted with \
         `openssl pkcs12 -in FILE -legacy -nodes -out FILE.pem`, a binary certificate (.cer, .der) \
         with `openssl x509 -inform der -in FILE -out FILE.pem`"
    )]
    NoBlock,
    #[error("PEM block {place} has no end line that fits its begin line")]
    NoEnd { place: usize },
    #[error("PEM block {place} is not base64")]
    NotBase64 { place: usize },
    #[error(
        "PEM block {place} is encrypted with a passphrase; take it off with \
         `openssl pkey -in FILE -out FILE.pem`"
    )]
    Encrypted { place: usize },
}

/// One decoded block.
pub struct PemBlock {
    label: String,
    /// The DER bytes.
    pub contents: Zeroizing<Vec<u8>>,
}

impl PemBlock {
    /// What the begin line names, such as `CERTIFICATE` or `PRIVATE KEY`.
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// Decodes every block of a PEM text, at least one, in order.
pub fn parse_pem(text: &str) -> Result<Vec<PemBlock>, PemError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemError::TooLong { length: text.len() });
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        if blocks.len() == PEM_BLOCKS_MAX {
            return Err(PemError::TooManyBlocks);
        }
        let place = blocks.len() + 1;
        let (block, after) = parse_block(&rest[begin + BEGIN.len()..], place)?;
        blocks.push(block);
        rest = after;
    }
    if blocks.is_empty() { Err(PemError::NoBlock) } else { Ok(blocks) }
}

/// Decodes one block from after its `-----BEGIN `; answers it and the text behind its end line.
fn parse_block(text: &str, place: usize) -> Result<(PemBlock, &str), PemError> {
    let no_end = PemError::NoEnd { place };
    let (label, body) = text.split_once(DASHES).ok_or(no_end)?;
    let (body, after) = body.split_once(END).ok_or(no_end)?;
    let after = after.strip_prefix(label).and_then(|rest| rest.strip_prefix(DASHES));
    let after = after.ok_or(no_end)?;
    // A traditional key names its cipher in header lines (RFC 1421), a PKCS#8 one in its label.
    if label.starts_with("ENCRYPTED") || body.contains("ENCRYPTED") {
        return Err(PemError::Encrypted { place });
    }
    let mut compact = Zeroizing::new(Vec::with_capacity(body.len()));
    compact.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut contents = Zeroizing::new(Vec::with_capacity(compact.len()));
    STANDARD
        .decode_vec(compact.as_slice(), &mut contents)
        .map_err(|_| PemError::NotBase64 { place })?;
    Ok((PemBlock { label: label.to_owned(), contents }, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Result<Vec<String>, PemError> {
        Ok(parse_pem(text)?.iter().map(|block| block.label().to_owned()).collect())
    }

    #[test]
    fn blocks_are_found_among_other_text_and_with_lost_line_breaks() {
        let text = "Bag Attributes\n  friendlyName: x\nKey Attributes: <No Attributes>\n\
                    -----BEGIN PRIVATE KEY-----\r\nAAEC\r\n\r\nAwQF\r\n\
                    -----END PRIVATE KEY-----\r\n\
                    subject=CN = a\n-----BEGIN CERTIFICATE-----Bgc=-----END CERTIFICATE-----";
        let blocks = parse_pem(text).expect("two blocks");
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            (blocks[0].label(), &**blocks[0].contents),
            ("PRIVATE KEY", &[0, 1, 2, 3, 4, 5][..])
        );
        assert_eq!((blocks[1].label(), &**blocks[1].contents), ("CERTIFICATE", &[6, 7][..]));
    }

    #[test]
    fn what_is_no_pem_is_refused_with_its_place() {
        let rows = [
            ("", PemError::NoBlock),
            ("0\u{82}binary", PemError::NoBlock),
            ("-----BEGIN A-----AAEC", PemError::NoEnd { place: 1 }),
            ("-----BEGIN A-----AAEC-----END B-----", PemError::NoEnd { place: 1 }),
            ("-----BEGIN A-----A*EC-----END A-----", PemError::NotBase64 { place: 1 }),
            (
                "-----BEGIN A-----AAEC-----END A----------BEGIN B-----A-----END B-----",
                PemError::NotBase64 { place: 2 },
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----AAEC-----END ENCRYPTED PRIVATE KEY-----",
                PemError::Encrypted { place: 1 },
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAEC\n\
                 -----END RSA PRIVATE KEY-----",
                PemError::Encrypted { place: 1 },
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(labels(text), Err(expected), "{text}");
        }
        assert_eq!(
            labels(&"-".repeat(PEM_BYTES_MAX + 1)),
            Err(PemError::TooLong { length: PEM_BYTES_MAX + 1 })
        );
        let many = "-----BEGIN A-----AAEC-----END A-----".repeat(PEM_BLOCKS_MAX + 1);
        assert_eq!(labels(&many), Err(PemError::TooManyBlocks));
    }

    #[test]
    fn the_error_tells_how_to_convert() {
        let text = PemError::NoBlock.to_string();
        assert!(text.contains("openssl pkcs12 -in FILE -legacy -nodes"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_blocks_or_an_error(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "-----BEGIN ", "-----END ", "-----", "A", "AAEC", "\n", "=", "备", "ENCRYPTED",
                ]),
                0..30,
            )
        ) {
            let _ = labels(&pieces.concat());
        }
    }
}
