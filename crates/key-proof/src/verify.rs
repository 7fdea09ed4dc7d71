//! The checks, V1 to V13.

use ssh_format::{AnyKey, SigHash, Signer, SshSig};
use subtle::ConstantTimeEq;

use crate::{
    Binding, Check, Error, Kind, Mode, Name, Policy, Proof, PublicArea, Request, Result, TicketKey,
    TpmTime, Transcript, Wall,
    attest::{Attest, verify_signature},
    ek::{
        self,
        certificate::{EkCertificate, Maker},
        chain::Anchors,
    },
    error::refuse,
    key, qualifying_data,
    ticket::Ticket,
    transcript::{ENROLL_NAMESPACE, activation},
    wall,
};

/// Seconds by which the clocks of verifiers may differ.
pub(crate) const SKEW: u64 = 30;

/// A request that passed the checks V1 to V6. It proves nothing yet, but a verifier may make a challenge for it.
#[derive(Debug, Clone)]
pub struct Checked {
    ek: PublicArea,
    key: PublicArea,
    binding: Binding,
    wall: Wall,
    mode: Mode,
    maker: Option<Maker>,
    trusted: Option<[u8; 32]>,
    transcript: Transcript,
    audience: String,
}

impl Checked {
    /// The endorsement key.
    #[must_use]
    pub fn ek(&self) -> &PublicArea {
        &self.ek
    }

    /// The attestation key.
    #[must_use]
    pub fn attestation_key(&self) -> &PublicArea {
        &self.binding.attestation_key
    }

    /// The key that the request is about.
    #[must_use]
    pub fn ssh_key(&self) -> &AnyKey {
        &self.binding.ssh_key
    }

    /// The hash of the request.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        self.transcript
    }

    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }
}

/// Where a key comes from, by its public area alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The TPM made it, and it cannot leave.
    BornHere,
    /// It was made elsewhere and brought in: there may be copies.
    Imported,
    /// Its attributes let it leave the TPM.
    CanLeave,
}

impl Origin {
    /// The name in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BornHere => "born-here",
            Self::Imported => "imported",
            Self::CanLeave => "can-leave",
        }
    }
}

/// What was proven.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// The key. It was born in the TPM and cannot leave it: nothing else passes.
    pub key: AnyKey,
    /// Where it comes from.
    pub origin: Origin,
    /// What the TPM asks for before it uses the key.
    pub wall: Wall,
    /// The Name of the TPM's endorsement key.
    pub ek_name: Name,
    /// What the maker's certificate says of the TPM, if the policy asks for a certificate.
    pub maker: Option<Maker>,
    /// The SHA-256 of the trusted certificate that vouches for the TPM, if the policy asks for one.
    pub trusted: Option<[u8; 32]>,
    /// How the TPM is known.
    pub mode: Mode,
    /// The Name of the attestation key.
    pub attestation_key: Name,
    /// What [`verify_renewal`](crate::verify_renewal) needs of this proof.
    pub binding: Binding,
    /// When the challenge was made, in seconds since 1970. The proof was made later.
    pub issued: u64,
    /// The end of the challenge's validity, in seconds since 1970.
    pub expires: u64,
    /// The challenge's nonce. A verifier recognizes by it a proof that it has seen before.
    pub nonce: [u8; 32],
    /// What the proof is for.
    pub kind: Kind,
    /// The principals that the key asked for.
    pub principals: Vec<String>,
    /// The hash of the request.
    pub request: Transcript,
    /// The TPM's own time.
    pub time: TpmTime,
}

/// Checks a request: V1 to V6. Do this before a challenge is made for it.
///
/// # Errors
///
/// [`Error::Refused`], [`Error::Expired`] or [`Error::PrincipalNotAllowed`]: [`Error::check`] says by which check.
/// [`Error::Malformed`] for a structure that cannot be read.
pub fn check_request(request: &Request, policy: &Policy) -> Result<Checked> {
    // The cheap checks come first, so that nonsense does not cost the verification of a signature.
    let ek = PublicArea::parse(&request.ek)?;
    ek::template::check(&ek)?;
    let attestation_key = PublicArea::parse(&request.attestation_key)?;
    key::check_attestation_key(&attestation_key)?;
    let key = PublicArea::parse(&request.key)?;
    let ssh_key = key::check_key(&key)?;
    let parent = PublicArea::parse(&request.parent)?;
    let wall = wall::check(&parent, &request.wall)?;
    if wall < policy.least_wall {
        return refuse(
            Check::V5,
            "the key's PIN wall is weaker than the one that is asked for",
        );
    }
    let srk = PublicArea::parse(&request.srk)?;
    key::check_root(&srk)?;
    check_purpose(request, policy)?;
    let all = [&ek, &attestation_key, &key, &parent, &srk];
    let differ = (1..all.len()).all(|i| all[..i].iter().all(|other| other.key != all[i].key));
    if !differ {
        return refuse(Check::V6, "one key has two roles");
    }
    let mode = check_inventory(&ek.name(), policy)?;
    let (maker, trusted) = match &policy.anchors {
        Some(anchors) => {
            let (maker, trusted) = check_certificate(request, &ek, anchors, policy)?;
            (Some(maker), Some(trusted))
        }
        None => (None, None),
    };
    let root = srk.qualified_name(&Name::owner());
    Ok(Checked {
        binding: Binding {
            signer: attestation_key.qualified_name(&root),
            qualified_name: key.qualified_name(&parent.qualified_name(&root)),
            key: key.name(),
            attestation_key,
            ssh_key,
        },
        ek,
        key,
        wall,
        mode,
        maker,
        trusted,
        transcript: request.transcript(),
        audience: request.audience.clone(),
    })
}

/// Check V6: for what, for whom and for which verifier the proof is.
fn check_purpose(request: &Request, policy: &Policy) -> Result<()> {
    let v6 = |why| refuse(Check::V6, why);
    if request.audience != policy.audience {
        return v6("it is for another audience");
    }
    if request.kind != Kind::None && request.principals.is_empty() {
        return v6("it names no principals");
    }
    if let Some(kind) = policy.kind
        && request.kind != Kind::None
        && request.kind != kind
    {
        return v6("it is for another kind of certificate");
    }
    if let Some(allowed) = &policy.principals
        && let Some(name) = request.principals.iter().find(|it| !allowed.contains(it))
    {
        return Err(Error::PrincipalNotAllowed { name: name.clone() });
    }
    Ok(())
}

/// Check V3: whether this TPM is one of those that count. It is cheap, so it runs before the signatures of V1.
fn check_inventory(ek: &Name, policy: &Policy) -> Result<Mode> {
    let v3 = |why| refuse(Check::V3, why);
    if policy.revoked.contains(ek) {
        return v3("this TPM is revoked");
    }
    let is_listed = policy.inventory.as_ref().map(|all| all.contains(ek));
    match (is_listed, &policy.anchors) {
        (Some(false), _) => v3("this TPM is not one of those that are expected"),
        (Some(true), Some(_)) => Ok(Mode::A),
        (Some(true), None) => Ok(Mode::B),
        (None, Some(_)) => Ok(Mode::C),
        (None, None) if policy.any_tpm => Ok(Mode::D),
        (None, None) => v3("nothing vouches for this TPM"),
    }
}

/// Check V1: the maker's certificate. Returns what it says of the TPM, and the SHA-256 of the trusted certificate at the end of its path.
fn check_certificate(
    request: &Request,
    ek: &PublicArea,
    anchors: &Anchors,
    policy: &Policy,
) -> Result<(Maker, [u8; 32])> {
    let Some(der) = &request.ek_certificate else {
        return refuse(Check::V1, "this TPM has no maker's certificate");
    };
    let certificate = EkCertificate::parse(der)?;
    certificate.check_is_for(ek)?;
    let trusted = anchors.check(
        &certificate,
        &request.chain,
        policy.now,
        policy.ignore_expiry,
    )?;
    Ok((certificate.maker()?, trusted))
}

/// Checks a proof: all of V1 to V13. `keys` are the verifier's ticket keys, in any order.
///
/// The same proof passes any number of times while its challenge is valid. A verifier that accepts a proof only once
/// stores the [`nonce`](Verified::nonce) until [`expires`](Verified::expires), and for the 30 seconds by which clocks may differ.
///
/// # Errors
///
/// [`Error::Refused`], [`Error::Expired`] or [`Error::PrincipalNotAllowed`]: [`Error::check`] says by which check.
/// [`Error::Malformed`] for a structure that cannot be read.
pub fn verify(proof: &Proof, policy: &Policy, keys: &[TicketKey]) -> Result<Verified> {
    let checked = check_request(&proof.request, policy)?;
    let ticket = Ticket::open(&proof.ticket, keys, &policy.audience)?;
    check_ticket(&ticket, &checked, policy)?;
    let expected = activation(&*ticket.secret, &checked.transcript);
    if !bool::from(expected[..].ct_eq(&proof.activation)) {
        return refuse(Check::V8, "this TPM did not answer the challenge");
    }
    let attestation = Attestation {
        attest: &proof.attest,
        signature: &proof.signature,
        nonce: &ticket.nonce,
        transcript: &checked.transcript,
    };
    let time = check_attestation(&attestation, &checked.binding)?;
    check_own_signature(&proof.sshsig, &checked.binding.ssh_key, &checked.transcript)?;
    Ok(Verified {
        origin: key::origin(&checked.key),
        key: checked.binding.ssh_key.clone(),
        wall: checked.wall,
        ek_name: checked.ek.name(),
        maker: checked.maker,
        trusted: checked.trusted,
        mode: checked.mode,
        attestation_key: checked.binding.attestation_key.name(),
        binding: checked.binding,
        issued: ticket.issued,
        expires: ticket.expires,
        nonce: ticket.nonce,
        kind: proof.request.kind,
        principals: proof.request.principals.clone(),
        request: checked.transcript,
        time,
    })
}

/// The rest of check V7, after [`Ticket::open`]: the challenge is for this request, and is neither too old nor from the future.
fn check_ticket(ticket: &Ticket, checked: &Checked, policy: &Policy) -> Result<()> {
    let v7 = |why| refuse(Check::V7, why);
    if ticket.transcript != checked.transcript {
        return v7("its challenge was made for another request");
    }
    if policy.now > ticket.expires.saturating_add(SKEW) {
        return v7("its challenge has expired");
    }
    if ticket.issued > policy.now.saturating_add(SKEW) {
        return v7("its challenge is from the future: a clock is wrong");
    }
    let age = policy.now.saturating_sub(ticket.issued);
    if policy.max_age.is_some_and(|most| age > most) {
        return v7("it is older than asked for");
    }
    Ok(())
}

/// A TPM's attestation of a key, and the nonce and request that it has to answer.
pub(crate) struct Attestation<'a> {
    /// The `TPMS_ATTEST`.
    pub(crate) attest: &'a [u8],
    /// The `TPMT_SIGNATURE` of `attest`.
    pub(crate) signature: &'a [u8],
    pub(crate) nonce: &'a [u8; 32],
    pub(crate) transcript: &'a Transcript,
}

/// Checks V9 to V12: the attestation and its signature, the challenge, the key, and where in the TPM the keys are.
pub(crate) fn check_attestation(of: &Attestation<'_>, binding: &Binding) -> Result<TpmTime> {
    let attest = match Attest::parse(of.attest) {
        Ok(attest) => attest,
        Err(Error::Malformed { .. }) => {
            return refuse(Check::V9, "the attestation is not one of a TPM for a key");
        }
        Err(err) => return Err(err),
    };
    if verify_signature(&binding.attestation_key, of.attest, of.signature).is_err() {
        return refuse(
            Check::V9,
            "the attestation is not signed by the attestation key",
        );
    }
    if attest.extra != qualifying_data(of.nonce, of.transcript) {
        return refuse(Check::V10, "the attestation answers another challenge");
    }
    if attest.name != binding.key.bytes() {
        return refuse(Check::V11, "another key was certified");
    }
    if attest.signer != binding.signer.bytes() {
        return refuse(Check::V12, "the attestation key is elsewhere in the TPM");
    }
    if attest.qualified_name != binding.qualified_name.bytes() {
        return refuse(
            Check::V12,
            "the key is elsewhere in the TPM, or behind another wall",
        );
    }
    Ok(attest.time)
}

/// Check V13: the key itself has signed the request.
pub(crate) fn check_own_signature(
    sshsig: &str,
    key: &AnyKey,
    transcript: &Transcript,
) -> Result<()> {
    let v13 = |why| refuse(Check::V13, why);
    let Ok(signature) = SshSig::from_armored(sshsig) else {
        return v13("the signature by the key itself is not one");
    };
    let Signer::Key(signer) = signature.signer() else {
        return v13("the signature by the key itself has a certificate in it");
    };
    if signer.blob() != key.blob() {
        return v13("another key has signed");
    }
    if signature.hash() != SigHash::Sha512 {
        return v13("the signature by the key itself has another hash than SHA-512");
    }
    let Ok(digest) = SigHash::Sha512.of(&transcript[..]) else {
        return v13("the request cannot be hashed");
    };
    match signature.verify(ENROLL_NAMESPACE, &digest) {
        Ok(()) => Ok(()),
        Err(_) => v13("the signature by the key itself is not over this request"),
    }
}
