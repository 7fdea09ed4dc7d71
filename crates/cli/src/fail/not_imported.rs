//! Why a file with a private key is not brought into the TPM.

use std::path::{Path, PathBuf};

use token_store::Kind;
use tpm_core::KeyType;

use crate::show::path::quote;

/// A private key file that is not imported, by what its owner can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotImported {
    /// A type of key that no TPM knows, such as `ssh-ed25519`.
    #[error("no TPM can hold an {algorithm} key", algorithm = .0)]
    Type(String),
    /// An RSA key of a size that TPMs do not have.
    #[error("TPMs hold RSA keys of 2048 and 3072 bits, and this one has another size")]
    RsaSize,
    /// A public half that this program refuses in any TPM.
    #[error("key refused: {0}")]
    Weak(&'static str),
    /// A type of key that this TPM does not take.
    #[error("this TPM takes no {0} keys")]
    Lacks(KeyType),
    /// The chip does not know the command.
    #[error("this TPM imports no keys")]
    NoImport,
    /// The `.pub` file beside it has another key.
    #[error("not a sound key: {} has the public half of another one", public.display())]
    OtherPublic {
        /// The `.pub` file.
        public: PathBuf,
    },
    /// A key in the form of other TPM tools, which works in its TPM alone.
    #[error("it is a key of a TPM, in the form of another tool")]
    InTpm,
    /// A file of other TPM tools that wraps a key for a storage root key.
    #[error("anyone who can use the TPM can use the key in this file")]
    WrappedOpenly,
    /// The passphrase is another one.
    #[error("wrong passphrase")]
    Passphrase,
    /// Encrypted in a way that is not known here.
    #[error("it is encrypted with {0}, which is not known here")]
    Cipher(String),
    /// PEM: PKCS#1, SEC1 or PKCS#8.
    #[error("it has the form of PEM and not that of OpenSSH")]
    Pem,
    /// PuTTY.
    #[error("it is a private key of PuTTY")]
    Putty,
    /// DER, such as PKCS#12.
    #[error("it is binary, such as PKCS#12, and not a private key of OpenSSH")]
    Binary,
    /// A `.pub` file.
    #[error("it is a public key; the private one is in the file without .pub")]
    Public,
    /// Nothing that is known.
    #[error("it is no private key of OpenSSH")]
    Other,
    /// Longer than any.
    #[error("it is longer than any private key of OpenSSH")]
    TooLong,
    /// The comment of the key cannot be its label.
    #[error("its comment cannot be a label: {0}")]
    Comment(&'static str),
    /// Standard input is a terminal.
    #[error("it is a terminal")]
    Terminal,
    /// A device or a pipe.
    #[error("it is no regular file")]
    NotRegular,
    /// A file that somebody else may have written or read.
    #[error("it belongs to another user")]
    OfAnother,
}

impl NotImported {
    /// The kind of the failure, which gives the exit code.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Type(_)
            | Self::RsaSize
            | Self::Weak(_)
            | Self::Lacks(_)
            | Self::NoImport
            | Self::OtherPublic { .. }
            | Self::InTpm
            | Self::WrappedOpenly => Kind::KeyRefused,
            Self::Passphrase => Kind::Failed,
            Self::NotRegular | Self::OfAnother => Kind::UnsafePath,
            Self::Cipher(_)
            | Self::Pem
            | Self::Putty
            | Self::Binary
            | Self::Public
            | Self::Other
            | Self::TooLong
            | Self::Comment(_)
            | Self::Terminal => Kind::Usage,
        }
    }

    /// What its owner can do, with the `file` that was named.
    pub(crate) fn hint(&self, file: &Path) -> Option<String> {
        let stdin = file == Path::new("-");
        let name = if stdin { "FILE".into() } else { quote(file) };
        Some(match self {
            Self::Type(_) | Self::RsaSize | Self::Weak(_) | Self::Lacks(_) | Self::NoImport => {
                format!(
                    "make one in the TPM: tpmssh keygen; then: tpmssh copy-id --replace {name}.pub HOST"
                )
            }
            Self::OtherPublic { .. } => {
                format!("ssh-keygen -y -f {name} prints the public half that belongs to it")
            }
            Self::InTpm => "serve it with its own agent: tpmssh agent --proxy SOCKET".into(),
            Self::WrappedOpenly => {
                "import it with the tool that made it, then delete the file".into()
            }
            Self::Passphrase => return None,
            Self::Cipher(_) => {
                format!("cp {name} COPY && ssh-keygen -p -f COPY encrypts it as usual")
            }
            Self::Pem => {
                format!("cp {name} COPY && ssh-keygen -p -f COPY makes it an OpenSSH key")
            }
            Self::Putty => {
                format!("puttygen {name} -O private-openssh-new -o COPY makes it an OpenSSH key")
            }
            Self::Binary => format!(
                "if it is PKCS#12: openssl pkcs12 -in {name} -nocerts -out COPY, then ssh-keygen -p -f COPY"
            ),
            Self::Public | Self::Other | Self::TooLong => return None,
            Self::Comment(_) => "give it a label: --label LABEL".into(),
            Self::Terminal => "name the file, or: tpmssh import - < FILE".into(),
            Self::NotRegular => format!("give it on standard input: tpmssh import - < {name}"),
            Self::OfAnother => format!("make a copy of your own: install -m 600 {name} COPY"),
        })
    }
}
