//! The line after an error: what to try, if there is something to try.

use std::io::ErrorKind;
use std::path::Path;

use token_store::token::NoCounter;
use token_store::{Change, Error as Store, PinError, Role};
use tpm_core::{CommandCode, Entity, Error as Tpm};

use crate::fail::advice::Advice;
use crate::fail::error::Error;
use crate::machine::simulator;
use crate::show::path::quote;

pub(super) fn for_proof(err: &key_proof::Error) -> Option<String> {
    use key_proof::{Check, Error as Proof};
    let hint = match err {
        Proof::OnlyARequest => "answer it with: tpmssh ca challenge FILE -o challenge.json",
        Proof::Expired => {
            "a TPM outlives its maker's certificates; take expired ones as well with --ignore-ek-expiry"
        }
        Proof::Refused {
            check: Check::V3, ..
        } => {
            "name the TPM with --ek NAME (its owner sees it with: tpmssh ek show), or its maker's certificates with --ek-roots DIR"
        }
        Proof::Refused {
            check: Check::V7, ..
        } => "make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json",
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn for_authority(err: &enroll::Error) -> Option<String> {
    use enroll::{Error as Enroll, TlsFault};
    let hint = match err {
        Enroll::BadUrl { .. } => return None,
        Enroll::TlsRoots(_) => {
            "give the certificate of the authority's TLS in a file: --tls-ca FILE"
        }
        Enroll::NoServer { .. } => {
            "see whether it runs and whether the address is right; a certificate for its TLS that the system does not know is given with --tls-ca FILE"
        }
        Enroll::BadTls { fault, .. } => match fault {
            TlsFault::Ended => {
                "its administrator makes the next one with: tpmssh-ca tls renew; if it is not that old, see whether the clock of this machine is right"
            }
            TlsFault::NotYet => "see whether the clock of this machine is right",
            TlsFault::OtherName => {
                "use a name that it has, which its administrator sees with: tpmssh-ca tls show"
            }
            _ => {
                "if the authority has a TLS of its own, its administrator sees with tpmssh-ca tls show what to give: --tls-ca-sha256 HEX, or --tls-ca FILE"
            }
        },
        Enroll::OtherTls { .. } => {
            "nothing secret was sent; compare the address and the SHA-256 with what its administrator sees with: tpmssh-ca tls show"
        }
        Enroll::Busy { .. } => "try again in a minute",
        Enroll::Pending { number } => {
            return Some(format!(
                "when it is approved (tpmssh-ca device approve {number}), run the same command again"
            ));
        }
        Enroll::Refused { code, .. } => match code.as_str() {
            "join-token" => "its administrator makes one with: tpmssh-ca join-token new",
            "V3" => {
                "its administrator lets this TPM in with a join token, or by its Name (tpmssh ek show) with: tpmssh-ca device import"
            }
            "V6" => {
                "the names have to be those of the role, and the authority's name is given with --audience"
            }
            "identity" => {
                "who asks is shown by a key that its administrator knows (--identity-key FILE), a token of your organisation (--identity-command COMMAND), the key that is replaced (--old-key KEY), or a join token (--join-token FILE)"
            }
            "V14" => {
                "its administrator revokes the machine (tpmssh-ca device revoke), and lets in the one that is not a copy"
            }
            _ => return None,
        },
        Enroll::Gone => "prove the key again with: tpmssh enroll",
        Enroll::NotTaken(_) => {
            "nothing was changed; if the authority has new keys, get them from its administrator and give them to tpmssh enroll (a host: tpmssh host setup --enroll) with --user-ca and --host-ca"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn for_tpm(err: &Tpm) -> Option<String> {
    let hint = match err {
        Tpm::PermissionDenied { path } if path.starts_with("/dev") => {
            "sudo usermod -aG tss \"$USER\", then log out and in again"
        }
        Tpm::NoTpm { tcti, .. } if tcti.starts_with("swtpm:") => {
            "start it again with: tpmssh simulator start"
        }
        Tpm::NoTpm { tcti, .. } if tcti.starts_with("tabrmd") => {
            "start it with: sudo systemctl start tpm2-abrmd"
        }
        Tpm::NoTpm { .. } => NO_TPM,
        Tpm::Tcti { .. } => {
            "it looks like device:/dev/tpmrm0, tabrmd: or swtpm:host=127.0.0.1,port=2321"
        }
        Tpm::NotReady(_) => "wait a minute, then try again",
        Tpm::NeedsRestart(_) => {
            "finish the firmware update with the maker's tool if there is one, then restart the machine"
        }
        Tpm::Timeout { .. } => "see whether another program holds the TPM, then try again",
        Tpm::Busy | Tpm::Full => "try again when the other program is done",
        Tpm::Tpm12 => "see in the firmware setup whether it can be switched to TPM 2.0",
        Tpm::Malformed(_) => "what answers there is no TPM: see --tcti in tpmssh --help",
        Tpm::FailureMode => {
            "switch the machine off and on; if that does not help, the TPM is broken"
        }
        Tpm::NotStarted => {
            "the firmware does this at boot; run swtpm with --flags not-need-init,startup-clear"
        }
        Tpm::AuthRejected {
            entity: Entity::Owner,
            ..
        } => "give the owner password with --owner-auth-file FILE",
        Tpm::HierarchyDisabled(_) => {
            "restart the machine; if it stays so, switch the hierarchy on in the firmware setup"
        }
        Tpm::Disabled(CommandCode::Clear) => "clear the TPM in the firmware setup of the machine",
        Tpm::HandleOccupied(_) => "tpmssh doctor says what is there and what to do",
        Tpm::AuthRejected {
            entity: Entity::Srk,
            ..
        } => {
            "it has a password, which nothing needs and which few programs can give: see tpmssh doctor"
        }
        Tpm::NvSpace => "tpmssh token init --pin-wall lockout needs no room there",
        Tpm::NotSupported(_) => "tpmssh tpm info shows what this TPM can do",
        _ => return None,
    };
    Some(hint.into())
}

const NO_TPM: &str =
    "switch the TPM on in the firmware setup, or try a simulated one: tpmssh simulator start";

pub(super) fn for_store(err: &Store) -> Option<String> {
    let hint = match err {
        Store::Tpm(err) => return for_tpm(err),
        Store::WrongPin {
            left: Some(0),
            role: Role::So,
        } => {
            "the TPM refuses recovery codes (SO PINs) now: wait with the machine switched on, or as the TPM's owner: tpmssh tpm lockout reset"
        }
        Store::WrongPin { left: Some(0), .. } | Store::PinLocked => {
            "the recovery code (SO PIN) sets a new PIN: tpmssh token reset-pin"
        }
        Store::UnrecordedSrk => {
            "if the TPM was replaced or cleared on purpose: sudo tpmssh tpm pin-srk --force"
        }
        Store::WrongLimit { .. } => {
            "the recovery code (SO PIN) sets it right: tpmssh token reset-pin; if nobody changed it on purpose, make new keys"
        }
        Store::NoCounterWall(NoCounter::OwnerAuth) => {
            "give it with --owner-auth-file FILE, or take the lockout: tpmssh token init --pin-wall lockout"
        }
        Store::NoCounterWall(_) => {
            "the lockout of the whole TPM can guard the token: tpmssh token init --pin-wall lockout"
        }
        Store::OldCounterLeft { handle, .. } => {
            return Some(format!("tpmssh token remove-counter {handle:#010x}"));
        }
        Store::CounterMissing => "the recovery code (SO PIN) makes it again: tpmssh token repair",
        Store::PinNotSet => "set it with the recovery code (SO PIN): tpmssh token reset-pin",
        Store::ChipLocked { .. } | Store::LastTry { .. } => {
            "leave the machine on and wait (each further try restarts the wait), or as the TPM's owner: tpmssh tpm lockout reset"
        }
        Store::PinMalformed(err) => return for_pin(*err),
        Store::OtherTpm => {
            "its keys work in the TPM they were made in and nowhere else; make new ones with: tpmssh token init"
        }
        Store::KeyRefused { .. } => "make a new key with: tpmssh keygen",
        Store::NoStore { .. } => "make a token and a key first: tpmssh setup",
        Store::Corrupt { .. } => "put back a good copy of the store, or make a new token",
        Store::NewerStore { .. } => "use the newer version of tpmssh",
        Store::UnsafePath { path, .. } => return Some(for_unsafe_path(path)),
        Store::Replaced => "try again, with the store that is there now",
        Store::Busy | Store::Conflict => "try again when the other program is done",
        Store::Unrecorded { change, .. } | Store::Unknown { change, .. } => match change {
            Change::PinReset => "set it once more: tpmssh token reset-pin",
            Change::PinChange => {
                "tpmssh doctor --pin-file FILE finds out with the new PIN in FILE; a wrong one costs a try"
            }
            _ => "tpmssh doctor shows what is left; then: tpmssh token delete, or remove-counter",
        },
        Store::ReadOnly => {
            "tpmssh doctor shows what has to be writable; TPMSSH_STORE names another directory"
        }
        Store::NoLocks => {
            "a network file system needs its lock service; or keep the store on a local disk: set TPMSSH_STORE to a directory there"
        }
        Store::NoHome => "set HOME, or TPMSSH_STORE to a directory for the store",
        Store::NoSuchToken { .. } => "tpmssh token list shows what there is",
        Store::AmbiguousToken { .. } => {
            "give the serial number instead, which tpmssh token list shows"
        }
        Store::NoSuchObject => "tpmssh list shows what there is",
        Store::Config { .. } => "correct the file, or remove it",
        Store::NoTpmConfigured => NO_TPM,
        _ => return None,
    };
    Some(hint.into())
}

fn for_pin(err: PinError) -> Option<String> {
    match err {
        PinError::TooShort { .. } => None,
        _ => Some("no try was spent".into()),
    }
}

fn for_unsafe_path(path: &Path) -> String {
    let mode = if path.is_dir() { "700" } else { "600" };
    format!("if it is yours: chmod {mode} {}", quote(path))
}

pub(super) fn for_program(err: &Error) -> Option<String> {
    let hint = match err {
        Error::NobodyToAsk { .. } => {
            "use a terminal, set SSH_ASKPASS, or see --help for options that end in -file and -fd"
        }
        Error::NotImported { path, why } => return why.hint(path),
        Error::ExposedFile { path } => return Some(for_unsafe_path(path)),
        Error::NotOurFile { .. } => "move it away first if it is not needed",
        Error::Unremovable { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "put sudo before the command"
        }
        Error::NotStarted { hint, .. } => return hint.clone(),
        Error::NoSystemd { hint } => hint,
        Error::SystemdNotTold { commands } => {
            return Some(format!("when it runs for you (after a login): {commands}"));
        }
        Error::DoneUnseen { hint, .. } => hint,
        Error::IsATerminal { .. } => "leave the option out to be asked",
        Error::ByteOrderMark { .. } => "save it as UTF-8 without one; no try was spent",
        Error::NotRoot => "put sudo before the command",
        Error::LastTry => "add --yes if you are sure of the PIN",
        Error::SigningKeyGone { .. } => "choose another key: tpmssh git setup",
        Error::NeedsYes => "add --yes if you mean it",
        Error::NoToken => "make one first: tpmssh token init",
        Error::WhichToken { .. } => "say which one with --token LABEL",
        Error::NoKey => "make one first: tpmssh keygen",
        Error::NoLostCounter { .. } => "tpmssh doctor shows what there is",
        Error::WhichKey { hint, .. } => hint,
        Error::NoLoginKey => "name one: tpmssh export KEY; a key for logins: tpmssh keygen",
        Error::SignerNotAllowed { .. } => {
            "its owner gets the line with: tpmssh export --allowed-signer WHO KEY"
        }
        Error::NoGit => "sudo apt install git",
        Error::NoRepository => "go to one, or add --global",
        Error::LabelTaken { what: "key", .. } => {
            "give another with --label; tpmssh list shows what there is"
        }
        Error::LabelTaken { .. } => "give another label; tpmssh token list shows what there is",
        Error::NoSuchKey { .. } => "tpmssh list shows what there is",
        Error::AmbiguousKey { .. } => {
            "give the id or the fingerprint instead, which tpmssh list shows"
        }
        Error::NoPrivateHalf { .. } => "tpmssh keygen makes a key that can sign",
        Error::EmptyPassword => "tpmssh tpm change-auth --remove takes a password away",
        Error::NoTpmToSetUp => {
            "switch the TPM on in the firmware setup, or add --simulator to try a simulated one"
        }
        Error::Proof(err) => return err.hint(),
        Error::Enrol(err) => return err.hint(),
        Error::Host(err) => return err.hint(),
        Error::Hierarchy(err) => return err.hint(),
        Error::Certificate(err) => return err.hint(),
        Error::Authority(err) => return err.hint(),
        _ => return None,
    };
    Some(hint.into())
}

pub(crate) fn for_agent(err: &agent::Error) -> Option<String> {
    use agent::Error as Agent;
    let hint = match err {
        Agent::NoRuntimeDir => "say where the socket is to be with --socket PATH",
        Agent::Live { .. } => "use that one, or give another --socket",
        Agent::SocketGone { pid, .. } => {
            return Some(format!("end it with: kill {pid}, then start it again"));
        }
        Agent::Silent { pid, .. } => {
            // If systemd made the socket, its process listens there: not the one to end.
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if comm.trim_end() == "systemd" {
                "start it again: systemctl --user restart tpmssh-agent.service"
            } else {
                return Some(format!("end it, then start it again: kill -KILL {pid}"));
            }
        }
        Agent::UnsafePath { .. } => "take a directory of your own with mode 0700 for the socket",
        Agent::Socket { path, source } => match (source.kind(), path.parent()) {
            (ErrorKind::InvalidFilename, _) => {
                "the path of a socket has at most 107 bytes; give a shorter one with --socket PATH"
            }
            (ErrorKind::NotFound, Some(dir)) => {
                return Some(format!(
                    "make its directory first: mkdir -m 700 -p {}",
                    quote(dir)
                ));
            }
            _ => return None,
        },
        Agent::NotRunning { .. } => "start it: tpmssh agent install, or tpmssh agent --daemon",
        Agent::Foreign { .. } | Agent::NotOurs { .. } => {
            "name the socket of tpmssh's own agent with --socket PATH"
        }
        Agent::TooFewFiles { .. } => "raise it: ulimit -n 1024",
        Agent::Audit { .. } => "log = false below [agent] in the configuration file goes without",
        _ => return None,
    };
    Some(hint.into())
}

pub(super) fn for_simulator(err: &simulator::Error) -> Option<String> {
    let hint = match err {
        simulator::Error::NotInstalled => "sudo apt install swtpm",
        simulator::Error::UnsafeDir { path } => return Some(for_unsafe_path(path)),
        _ => return None,
    };
    Some(hint.into())
}

#[cfg(test)]
mod tests {
    use crate::fail::known;

    use super::*;

    fn hint(err: impl Into<anyhow::Error>) -> Option<String> {
        known::hint(&err.into())
    }

    #[test]
    fn no_permission_gets_the_line_that_gives_it() {
        let denied = Tpm::PermissionDenied {
            path: "/dev/tpmrm0".into(),
        };
        assert_eq!(
            hint(Store::from(denied)).unwrap(),
            "sudo usermod -aG tss \"$USER\", then log out and in again"
        );
    }

    #[test]
    fn no_tpm_points_to_the_simulator() {
        let nothing = || std::io::ErrorKind::ConnectionRefused.into();
        let gone = Tpm::NoTpm {
            tcti: "swtpm:host=127.0.0.1,port=1".into(),
            source: nothing(),
        };
        assert_eq!(
            hint(Store::from(gone)).unwrap(),
            "start it again with: tpmssh simulator start"
        );
        assert_eq!(hint(Store::NoTpmConfigured).unwrap(), NO_TPM);
    }

    #[test]
    fn a_hint_is_found_below_what_was_said_about_it() {
        let err = anyhow::Error::from(Store::PinLocked).context("cannot make a key");
        assert_eq!(
            known::hint(&err).unwrap(),
            "the recovery code (SO PIN) sets a new PIN: tpmssh token reset-pin"
        );
    }

    #[test]
    fn a_path_in_a_hint_is_one_word() {
        for (path, word) in [
            (
                "/home/anna/.local/share/tpmssh",
                "/home/anna/.local/share/tpmssh",
            ),
            ("/home/a b", "'/home/a b'"),
            ("/home/a'b;rm", r"'/home/a'\''b;rm'"),
        ] {
            assert_eq!(quote(Path::new(path)), word);
        }
    }
}
