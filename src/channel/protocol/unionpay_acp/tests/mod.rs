//! The adapter on bytes: what it sends, what it makes of replies and notices, what it refuses.

mod notices;
mod operations;
mod replies;
mod requests;
mod sample;
mod settings;
mod statements;
