//! Carries bytes to a channel and back, once: HTTP and persistent TCP links, both over TLS, at
//! the agreed pace, with a breaker for a channel that fails.
//!
//! Nothing here knows what a message says. What happens after sending is never *not sent* (I-2).

pub mod breaker;
pub mod http;
pub mod objections;
pub mod pace;
pub mod tcp;
pub mod tls;
pub mod volume;
