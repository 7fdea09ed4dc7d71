//! The errors of the module, and the only table from them to the return values of PKCS#11.

use cryptoki_sys::*;

/// A result of this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal or a failure, named as the standard names its return values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a fault inside the module")]
    Internal,
    #[error("the function cannot be done")]
    FunctionFailed,
    #[error("an argument has a value that the standard does not allow")]
    ArgumentsBad,
    #[error("the caller's own mutexes are not supported")]
    CantLock,
    #[error("not initialized in this process")]
    NotInitialized,
    #[error("initialized already")]
    AlreadyInitialized,
    #[error("this function is not supported")]
    NotSupported,
    #[error("functions do not run in parallel")]
    NotParallel,
    #[error("nothing has happened")]
    NoEvent,

    #[error("no such slot")]
    SlotIdInvalid,
    #[error("no token is in the slot")]
    TokenNotPresent,
    #[error("the token has not been initialized")]
    TokenNotRecognized,

    #[error("no such session")]
    SessionHandleInvalid,
    #[error("too many sessions")]
    SessionCount,
    #[error("a session must be serial")]
    SessionParallel,
    #[error("the session is read-only")]
    SessionReadOnly,
    #[error("the token has open sessions")]
    SessionExists,
    #[error("the token has read-only sessions")]
    SessionReadOnlyExists,
    #[error("the security officer is logged in")]
    SessionReadWriteSoExists,

    #[error("logged in already")]
    AlreadyLoggedIn,
    #[error("somebody else is logged in")]
    AnotherLoggedIn,
    #[error("not logged in")]
    NotLoggedIn,
    #[error("the token has no such PIN")]
    PinNotInitialized,
    #[error("no such kind of user")]
    UserTypeInvalid,
    #[error("wrong PIN")]
    PinIncorrect,
    #[error("the new PIN has characters that no PIN can have")]
    PinInvalid,
    #[error("the new PIN is too short or too long")]
    PinLenRange,

    #[error("no such object")]
    ObjectHandleInvalid,
    #[error("the object must not be changed, copied or destroyed")]
    ActionProhibited,
    #[error("the attribute is sensitive")]
    AttributeSensitive,
    #[error("the attribute cannot be changed")]
    AttributeReadOnly,
    #[error("no such attribute")]
    AttributeTypeInvalid,
    #[error("the attribute cannot have this value")]
    AttributeValueInvalid,
    #[error("an attribute is missing")]
    TemplateIncomplete,
    #[error("the attributes contradict each other")]
    TemplateInconsistent,

    #[error("no such mechanism")]
    MechanismInvalid,
    #[error("the mechanism does not take this parameter")]
    MechanismParamInvalid,
    #[error("no such key")]
    KeyHandleInvalid,
    #[error("the key is of another type")]
    KeyTypeInconsistent,
    #[error("no keys of this size are made")]
    KeySizeRange,
    #[error("the key is not for this")]
    KeyFunctionNotPermitted,
    #[error("no keys on this curve are made")]
    CurveNotSupported,

    #[error("an operation is active")]
    OperationActive,
    #[error("no operation is active")]
    OperationNotInitialized,
    #[error("the buffer is too small, {0} are needed")]
    BufferTooSmall(usize),
    #[error("the input cannot be used")]
    DataInvalid,
    #[error("the input is too short or too long")]
    DataLenRange,
    #[error("the encrypted input cannot be decrypted")]
    EncryptedDataInvalid,
    #[error("the encrypted input has a wrong length")]
    EncryptedDataLenRange,
    #[error("the signature is wrong")]
    SignatureInvalid,
    #[error("the signature has a wrong length")]
    SignatureLenRange,
    #[error("this process cannot seed the generator of random numbers")]
    SeedNotSupported,

    /// A forked child may not open the store, as when it has become another user.
    #[error("this forked process cannot open the store")]
    StoreOfParent(#[source] token_store::Error),
    /// The token or its store failed.
    #[error(transparent)]
    Store(#[from] token_store::Error),
}

impl Error {
    /// The return value that says this to the caller.
    pub(crate) fn rv(&self) -> CK_RV {
        match self {
            Self::Internal => CKR_GENERAL_ERROR,
            Self::FunctionFailed => CKR_FUNCTION_FAILED,
            Self::ArgumentsBad => CKR_ARGUMENTS_BAD,
            Self::CantLock => CKR_CANT_LOCK,
            Self::NotInitialized => CKR_CRYPTOKI_NOT_INITIALIZED,
            Self::AlreadyInitialized => CKR_CRYPTOKI_ALREADY_INITIALIZED,
            Self::NotSupported => CKR_FUNCTION_NOT_SUPPORTED,
            Self::NotParallel => CKR_FUNCTION_NOT_PARALLEL,
            Self::NoEvent => CKR_NO_EVENT,
            Self::SlotIdInvalid => CKR_SLOT_ID_INVALID,
            Self::TokenNotPresent => CKR_TOKEN_NOT_PRESENT,
            Self::TokenNotRecognized => CKR_TOKEN_NOT_RECOGNIZED,
            Self::SessionHandleInvalid => CKR_SESSION_HANDLE_INVALID,
            Self::SessionCount => CKR_SESSION_COUNT,
            Self::SessionParallel => CKR_SESSION_PARALLEL_NOT_SUPPORTED,
            Self::SessionReadOnly => CKR_SESSION_READ_ONLY,
            Self::SessionExists => CKR_SESSION_EXISTS,
            Self::SessionReadOnlyExists => CKR_SESSION_READ_ONLY_EXISTS,
            Self::SessionReadWriteSoExists => CKR_SESSION_READ_WRITE_SO_EXISTS,
            Self::AlreadyLoggedIn => CKR_USER_ALREADY_LOGGED_IN,
            Self::AnotherLoggedIn => CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
            Self::NotLoggedIn => CKR_USER_NOT_LOGGED_IN,
            Self::PinNotInitialized => CKR_USER_PIN_NOT_INITIALIZED,
            Self::UserTypeInvalid => CKR_USER_TYPE_INVALID,
            Self::PinIncorrect => CKR_PIN_INCORRECT,
            Self::PinInvalid => CKR_PIN_INVALID,
            Self::PinLenRange => CKR_PIN_LEN_RANGE,
            Self::ObjectHandleInvalid => CKR_OBJECT_HANDLE_INVALID,
            Self::ActionProhibited => CKR_ACTION_PROHIBITED,
            Self::AttributeSensitive => CKR_ATTRIBUTE_SENSITIVE,
            Self::AttributeReadOnly => CKR_ATTRIBUTE_READ_ONLY,
            Self::AttributeTypeInvalid => CKR_ATTRIBUTE_TYPE_INVALID,
            Self::AttributeValueInvalid => CKR_ATTRIBUTE_VALUE_INVALID,
            Self::TemplateIncomplete => CKR_TEMPLATE_INCOMPLETE,
            Self::TemplateInconsistent => CKR_TEMPLATE_INCONSISTENT,
            Self::MechanismInvalid => CKR_MECHANISM_INVALID,
            Self::MechanismParamInvalid => CKR_MECHANISM_PARAM_INVALID,
            Self::KeyHandleInvalid => CKR_KEY_HANDLE_INVALID,
            Self::KeyTypeInconsistent => CKR_KEY_TYPE_INCONSISTENT,
            Self::KeySizeRange => CKR_KEY_SIZE_RANGE,
            Self::KeyFunctionNotPermitted => CKR_KEY_FUNCTION_NOT_PERMITTED,
            Self::CurveNotSupported => CKR_CURVE_NOT_SUPPORTED,
            Self::OperationActive => CKR_OPERATION_ACTIVE,
            Self::OperationNotInitialized => CKR_OPERATION_NOT_INITIALIZED,
            Self::BufferTooSmall(_) => CKR_BUFFER_TOO_SMALL,
            Self::DataInvalid => CKR_DATA_INVALID,
            Self::DataLenRange => CKR_DATA_LEN_RANGE,
            Self::EncryptedDataInvalid => CKR_ENCRYPTED_DATA_INVALID,
            Self::EncryptedDataLenRange => CKR_ENCRYPTED_DATA_LEN_RANGE,
            Self::SignatureInvalid => CKR_SIGNATURE_INVALID,
            Self::SignatureLenRange => CKR_SIGNATURE_LEN_RANGE,
            Self::SeedNotSupported => CKR_RANDOM_SEED_NOT_SUPPORTED,
            // A return value that the standard allows for `C_Initialize`.
            Self::StoreOfParent(_) => CKR_FUNCTION_FAILED,
            Self::Store(err) => store_rv(err),
        }
    }
}

impl From<tpm_core::Error> for Error {
    fn from(err: tpm_core::Error) -> Self {
        Self::Store(err.into())
    }
}

/// The return value for a failure of the token or its store.
fn store_rv(err: &token_store::Error) -> CK_RV {
    use token_store::{Error as Store, token::NoCounter};
    match err {
        Store::WrongPin { .. } | Store::LastTry { .. } => CKR_PIN_INCORRECT,
        Store::PinLocked | Store::ChipLocked { .. } => CKR_PIN_LOCKED,
        Store::PinMalformed(_) => CKR_PIN_INVALID,
        Store::PinRequired | Store::LoggedOut => CKR_USER_NOT_LOGGED_IN,
        Store::PinNotSet | Store::NoSo | Store::NoPin => CKR_USER_PIN_NOT_INITIALIZED,
        Store::OtherTpm | Store::UnrecordedSrk | Store::CounterMissing => CKR_TOKEN_NOT_RECOGNIZED,
        Store::NoStore { .. } | Store::NoSuchToken { .. } | Store::NoTpmConfigured => {
            CKR_TOKEN_NOT_PRESENT
        }
        Store::NoSuchObject => CKR_OBJECT_HANDLE_INVALID,
        Store::AuthorityKey | Store::KeyExists { .. } => CKR_ACTION_PROHIBITED,
        Store::KeyUse(_) => CKR_KEY_FUNCTION_NOT_PERMITTED,
        Store::TooLong { .. } | Store::Invalid { .. } => CKR_ATTRIBUTE_VALUE_INVALID,
        Store::ReadOnly => CKR_TOKEN_WRITE_PROTECTED,
        Store::OutOfMemory => CKR_HOST_MEMORY,
        Store::Disk(err) if is_full(err) => CKR_DEVICE_MEMORY,
        Store::NoCounterWall(NoCounter::NoSpace) => CKR_DEVICE_MEMORY,
        Store::Busy | Store::Conflict | Store::NoCounterWall(_) => CKR_FUNCTION_FAILED,
        Store::Tpm(err) => tpm_rv(err),
        // The store is damaged, unsafe or missing, or a key in it differs from those made here.
        _ => CKR_DEVICE_ERROR,
    }
}

/// The return value for a failure of the chip.
fn tpm_rv(err: &tpm_core::Error) -> CK_RV {
    use tpm_core::Error as Tpm;
    match err {
        Tpm::PermissionDenied { .. } | Tpm::Tcti { .. } => CKR_TOKEN_NOT_PRESENT,
        Tpm::NoTpm { .. } | Tpm::Connection(_) => CKR_DEVICE_REMOVED,
        Tpm::Busy => CKR_FUNCTION_FAILED,
        Tpm::Full | Tpm::NvSpace => CKR_DEVICE_MEMORY,
        Tpm::PinExhausted | Tpm::Lockout => CKR_PIN_LOCKED,
        Tpm::OtherTpm | Tpm::ReplyForged { .. } | Tpm::Unproven | Tpm::WrongLimit => {
            CKR_TOKEN_NOT_RECOGNIZED
        }
        Tpm::NotSupported(_) => CKR_MECHANISM_INVALID,
        Tpm::InvalidArgument(_) => CKR_KEY_FUNCTION_NOT_PERMITTED,
        _ => CKR_DEVICE_ERROR,
    }
}

fn is_full(err: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        err.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rv(err: impl Into<Error>) -> CK_RV {
        err.into().rv()
    }

    #[test]
    fn a_wrong_pin_and_a_locked_one_are_told_apart() {
        let role = token_store::Role::User;
        assert_eq!(
            rv(token_store::Error::WrongPin {
                role,
                left: Some(1)
            }),
            CKR_PIN_INCORRECT
        );
        assert_eq!(rv(token_store::Error::PinLocked), CKR_PIN_LOCKED);
        assert_eq!(
            rv(token_store::Error::ChipLocked { recovery: None }),
            CKR_PIN_LOCKED
        );
    }

    #[test]
    fn an_absent_chip_a_foreign_one_and_a_failing_one_are_told_apart() {
        assert_eq!(
            rv(token_store::Error::NoTpmConfigured),
            CKR_TOKEN_NOT_PRESENT
        );
        assert_eq!(rv(tpm_core::Error::OtherTpm), CKR_TOKEN_NOT_RECOGNIZED);
        assert_eq!(rv(tpm_core::Error::FailureMode), CKR_DEVICE_ERROR);
        let gone = std::io::ErrorKind::ConnectionRefused.into();
        assert_eq!(rv(tpm_core::Error::Connection(gone)), CKR_DEVICE_REMOVED);
    }

    #[test]
    fn a_full_disk_is_not_a_broken_one() {
        let disk = |kind: std::io::ErrorKind| token_store::Error::Disk(kind.into());
        assert_eq!(rv(disk(std::io::ErrorKind::StorageFull)), CKR_DEVICE_MEMORY);
        assert_eq!(rv(disk(std::io::ErrorKind::Other)), CKR_DEVICE_ERROR);
        assert_eq!(rv(token_store::Error::ReadOnly), CKR_TOKEN_WRITE_PROTECTED);
    }
}
