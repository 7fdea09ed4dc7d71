//! The built module, called as its hosts call it: rightly, wrongly, from many threads, and in
//! processes that fork and end as they please.
#![expect(unsafe_code, reason = "the C boundary is called as C calls it")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod agreement;
mod attributes;
mod costs;
mod encryption;
mod ended;
mod forks;
mod guarded;
mod halves;
mod isolated;
mod keys;
mod loaded;
mod loading;
mod malformed;
mod many;
mod moving_in;
mod oracle;
mod restricted;
mod signing;
mod slots;
mod stage;
mod threads;
mod world;
