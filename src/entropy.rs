//! The only place that draws random numbers: nonces and keys, and draws for routing and jitter.

use std::sync::{Arc, Mutex, PoisonError};

/// Where randomness comes from.
#[derive(Debug, Clone)]
pub enum Entropy {
    /// The operating system's generator.
    System,
    /// A generator that repeats itself from its seed: for simulations, never for keys.
    Seeded(Arc<Mutex<fastrand::Rng>>),
}

impl Entropy {
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// The `nth` of the seed's generators: what is drawn for one thing is then the same whatever
    /// else is drawn, and in which order.
    pub fn seeded_part(seed: u64, nth: u64) -> Self {
        // The first draw spreads neighbouring numbers over all seeds.
        let offset = fastrand::Rng::with_seed(nth).u64(..);
        Self::seeded(fastrand::Rng::with_seed(seed).u64(..) ^ offset)
    }

    /// Fills `bytes` with numbers that nobody can foresee (unless seeded).
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System => aws_lc_rs::rand::fill(bytes)
                .expect("the operating system gives random numbers, or nothing here is safe"),
            Self::Seeded(generator) => {
                generator.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
            }
        }
    }

    /// A number for a weighted choice or a jitter, where being foreseen does no harm.
    pub fn draw(&self) -> u64 {
        match self {
            Self::System => fastrand::u64(..),
            Self::Seeded(generator) => {
                generator.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
            }
        }
    }

    /// The nonce of one AES-GCM seal. Random 96-bit nonces are safe for 2^32 seals of one key (NIST
    /// SP 800-38D, 8.3).
    pub fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        self.fill(&mut nonce);
        nonce
    }
}
