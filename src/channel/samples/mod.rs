//! Golden samples of a channel's file: `check` plays them, `golden` reads one, `page` and `frame`
//! write and compare it over HTTP and over links.

pub mod check;
pub mod golden;
pub mod purpose;

mod frame;
mod page;
