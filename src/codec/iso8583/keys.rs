//! The working keys that a terminal gets at sign-in (POS-P field 62), under its master key.
//!
//! Facts: each piece is encrypted with the master key, eight bytes at a time, and followed by the
//! first four bytes of zeros encrypted with the clear key. 24 bytes hold two single-length keys, 40
//! a double-length PIN key and a single-length MAC key filled with zeros, 60 also a track key.

use zeroize::Zeroizing;

use super::mac::{DesKey, DesKeyError};

/// Why field 62 holds no working keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkingKeyError {
    #[error("the keys come in 24, 40 or 60 bytes, and these are others")]
    Length,
    #[error("a key's check value does not fit: another master key, or a damaged message")]
    CheckValue,
    #[error(transparent)]
    Key(#[from] DesKeyError),
}

/// What a terminal works with until its next sign-in.
#[derive(Debug, Clone)]
pub struct WorkingKeys {
    pub pin: DesKey,
    pub mac: DesKey,
}

/// Opens the keys of a sign-in's answer and proves each by its check value.
pub fn open(master: &DesKey, field: &[u8]) -> Result<WorkingKeys, WorkingKeyError> {
    let (pin_bytes, mac_bytes) = match field.len() {
        24 => (8, 8),
        40 | 60 => (16, 16),
        _ => return Err(WorkingKeyError::Length),
    };
    let (pin, rest) = field.split_at(pin_bytes + 4);
    let pin = open_one(master, pin, pin_bytes)?;
    // The MAC key is of single length; in the longer forms eight zero bytes stand behind it.
    let (mac, _track) = rest.split_at(mac_bytes + 4);
    let (key, check) = mac.split_at(mac_bytes);
    let mac = open_one(master, &[&key[..8], check].concat(), 8)?;
    Ok(WorkingKeys { pin, mac })
}

fn open_one(master: &DesKey, piece: &[u8], key_bytes: usize) -> Result<DesKey, WorkingKeyError> {
    let (sealed, check) = piece.split_at(key_bytes);
    let mut clear = Zeroizing::new(Vec::with_capacity(key_bytes));
    for block in sealed.chunks_exact(8) {
        let block = block.try_into().expect("chunks of eight are eight bytes");
        clear.extend_from_slice(&master.decrypt(block));
    }
    let key = DesKey::new(&clear)?;
    if key.check_value() == check { Ok(key) } else { Err(WorkingKeyError::CheckValue) }
}

/// The other side of [`open`], in the form of 40 bytes: for the channel that a simulator plays.
pub fn close(master: &DesKey, pin: &[u8; 16], mac: &[u8; 8]) -> Result<Vec<u8>, DesKeyError> {
    let mut field = Vec::with_capacity(40);
    let mut seal = |clear: &[u8], filled: usize| -> Result<(), DesKeyError> {
        for block in clear.chunks_exact(8) {
            let block = block.try_into().expect("chunks of eight are eight bytes");
            field.extend_from_slice(&master.encrypt(block));
        }
        field.resize(field.len() + filled, 0);
        field.extend_from_slice(&DesKey::new(clear)?.check_value());
        Ok(())
    };
    seal(pin, 0)?;
    seal(mac, 8)?;
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    /// A published sign-in answer with the clear keys that it holds.
    #[test]
    fn a_published_key_download_opens() {
        let master = DesKey::new(&bytes("CA5D92598DCA48CE8A4C76361A9269E9")).expect("a key");
        let mut field = bytes(
            "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE1\
             0000000000000000AB7153CA",
        );
        let keys = open(&master, &field).expect("published keys");
        assert_eq!(keys.pin.check_value().to_vec(), bytes("8D0A74B8"));
        assert_eq!(keys.mac.check_value().to_vec(), bytes("AB7153CA"));
        let expected = DesKey::new(&bytes("5BB5C72CD00B7338")).expect("a key");
        assert_eq!(keys.mac.encrypt(*b"12345678"), expected.encrypt(*b"12345678"));
        let pin = bytes("807A23AD32B36D457AE91FDF927570EA").try_into().expect("16 bytes");
        let mac = bytes("5BB5C72CD00B7338").try_into().expect("8 bytes");
        assert_eq!(close(&master, &pin, &mac), Ok(field.clone()));
        field[20] ^= 1;
        assert_eq!(open(&master, &field).err(), Some(WorkingKeyError::CheckValue));
        assert_eq!(open(&master, &field[1..]).err(), Some(WorkingKeyError::Length));
    }
}
