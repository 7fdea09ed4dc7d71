//! Turns SQLite's error codes into errors of this crate.

use std::io;

use rusqlite::{Error as Sqlite, ErrorCode, ffi};

use crate::Error;

impl From<Sqlite> for Error {
    fn from(err: Sqlite) -> Self {
        match &err {
            Sqlite::SqliteFailure(failure, _) => from_code(failure, &err),
            // A value of another type than its column has, or text that is not UTF-8.
            Sqlite::FromSqlConversionFailure(..)
            | Sqlite::IntegralValueOutOfRange(..)
            | Sqlite::Utf8Error(..)
            | Sqlite::InvalidColumnType(..)
            | Sqlite::QueryReturnedNoRows => Self::corrupt(err.to_string()),
            _ => Self::Disk(io::Error::other(err)),
        }
    }
}

fn from_code(failure: &ffi::Error, err: &Sqlite) -> Error {
    match failure.code {
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::TooBig
        | ErrorCode::TypeMismatch
        | ErrorCode::SchemaChanged
        | ErrorCode::ConstraintViolation => Error::corrupt(err.to_string()),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => Error::Busy,
        ErrorCode::ReadOnly => Error::ReadOnly,
        ErrorCode::OutOfMemory => Error::OutOfMemory,
        ErrorCode::DiskFull => Error::Disk(io::ErrorKind::StorageFull.into()),
        // The file ends in the middle of a page.
        ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
            Error::corrupt(err.to_string())
        }
        // SQLITE_ERROR: the statements of this crate are correct, so the file has another schema.
        ErrorCode::Unknown if failure.extended_code == ffi::SQLITE_ERROR => {
            Error::corrupt(err.to_string())
        }
        _ => Error::Disk(io::Error::other(err.to_string())),
    }
}
