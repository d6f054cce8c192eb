//! What can go wrong, told apart by who has to act on it.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// A failure with a sentence for a person.
#[derive(Debug)]
pub enum Error {
    /// The caller's input cannot be used.
    Input(String),
    /// The proof system refused: the statement is false, or the circuits are not the pinned ones.
    Proving(String),
    /// A file could not be read or written.
    Storage(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input(sentence) | Error::Proving(sentence) => formatter.write_str(sentence),
            Error::Storage(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Storage(error)
    }
}

/// Result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// Runs `work` and turns a panic inside the proof system into [`Error::Proving`].
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing that `work` could leave half-changed is used after a panic: it only reads shared
    // data.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let cause = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::Proving(format!(
            "the proof system panicked: {cause}"
        )))
    })
}
