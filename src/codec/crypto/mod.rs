//! The cryptography that channels ask for beyond TLS: digests, shared-key codes, SM2 and field
//! encryption, each as a closed list of schemes.
//!
//! Some of these are weak (MD5, ECB) and are here because channels demand them; nothing of ours is
//! built on them. Keys are given by the caller, and no `Debug` or error shows one (I-11).

pub mod cipher;
pub mod digest;
pub mod pair;
pub mod sm2;

#[cfg(test)]
mod witness_tests;
