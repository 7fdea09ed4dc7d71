//! Refusals of algorithms and sizes that a chip lacks, with the chip's response codes.
//!
//! A chip unmarshals parameters from the first byte to the last and stops at the first unknown
//! value (Part 2, the remarks on each type's errors).

use super::{
    Chip,
    constants::{
        AES, CC_CREATE, CC_CREATE_LOADED, CC_CREATE_PRIMARY, CC_LOAD, CC_LOAD_EXTERNAL,
        CC_NV_DEFINE_SPACE, CC_RSA_DECRYPT, CC_SIGN, CC_START_AUTH_SESSION, CC_TEST_PARMS, ECC,
        KEYEDHASH, NULL, PT_NV_INDEX_MAX, RC_CURVE, RC_HASH, RC_MODE, RC_RESERVED_BITS, RC_SCHEME,
        RC_SIZE, RC_SYMMETRIC, RC_TYPE, RC_VALUE, RSA, RSAES, SYMCIPHER, XOR, about, digest_size,
    },
    wire::{Command, Reader, Short},
};

/// Why a command is not passed on.
pub(super) enum Stop {
    /// The chip refuses it.
    Refused(u32),
    /// It is malformed: the simulator refuses it.
    Malformed,
}

impl From<Short> for Stop {
    fn from(Short: Short) -> Self {
        Self::Malformed
    }
}

type Result<T> = std::result::Result<T, Stop>;

fn refuse<T>(code: u32, parameter: u32) -> Result<T> {
    Err(Stop::Refused(about(code, parameter)))
}

/// The algorithm of a command, and the size in bits or the curve, on which its time depends.
pub(super) type About = (u16, u16);

/// Refuses a command with values that the chip does not know.
pub(super) fn check(chip: &Chip, command: &Command<'_>) -> Result<About> {
    let mut reader = Reader::new(command.params);
    match command.code {
        CC_CREATE | CC_CREATE_PRIMARY | CC_CREATE_LOADED | CC_LOAD | CC_LOAD_EXTERNAL => {
            reader.sized()?;
            public(chip, reader.sized()?)
        }
        CC_TEST_PARMS => {
            let kind = kind(chip, &mut reader, 1)?;
            Ok((kind, parms(chip, kind, &mut reader, 1)?))
        }
        CC_SIGN => {
            digest(chip, &mut reader, 1)?;
            scheme(chip, &mut reader, 2)?;
            Ok((0, 0))
        }
        CC_RSA_DECRYPT => {
            let bits = reader.sized()?.len() * 8;
            scheme(chip, &mut reader, 2)?;
            Ok((RSA, u16::try_from(bits).unwrap_or(u16::MAX)))
        }
        CC_START_AUTH_SESSION => session(chip, command, &mut reader),
        CC_NV_DEFINE_SPACE => {
            if reader.sized()?.len() > chip.max_digest() {
                return refuse(RC_SIZE, 1);
            }
            nv_public(chip, reader.sized()?)?;
            Ok((0, 0))
        }
        _ => Ok((0, 0)),
    }
}

fn session(chip: &Chip, command: &Command<'_>, reader: &mut Reader<'_>) -> Result<About> {
    digest(chip, reader, 1)?;
    let salt = reader.sized()?.len();
    if reader.u8()? > 3 {
        return refuse(RC_VALUE, 3);
    }
    symmetric(chip, reader, 4)?;
    hash(chip, reader, 5)?;
    let key = command.handles.first().copied().unwrap_or_default();
    if salt > 0 && chip.quirks.unsaltable.contains(&key) {
        return refuse(RC_VALUE, 2);
    }
    Ok(match u16::try_from(salt) {
        Ok(0) => (0, 0),
        Ok(salt) if salt >= 256 => (RSA, salt * 8),
        _ => (ECC, 0),
    })
}

fn digest(chip: &Chip, reader: &mut Reader<'_>, parameter: u32) -> Result<()> {
    if reader.sized()?.len() > chip.max_digest() {
        let code = chip.quirks.long_digest_rc;
        return Err(Stop::Refused(code.unwrap_or(about(RC_SIZE, parameter))));
    }
    Ok(())
}

fn hash(chip: &Chip, reader: &mut Reader<'_>, parameter: u32) -> Result<()> {
    let algorithm = reader.u16()?;
    if digest_size(algorithm).is_some() && chip.has(algorithm) {
        Ok(())
    } else {
        refuse(RC_HASH, parameter)
    }
}

fn symmetric(chip: &Chip, reader: &mut Reader<'_>, parameter: u32) -> Result<()> {
    let algorithm = reader.u16()?;
    match algorithm {
        NULL => return Ok(()),
        XOR => return hash(chip, reader, parameter),
        _ if !chip.has(algorithm) => return refuse(RC_SYMMETRIC, parameter),
        _ => {}
    }
    let (bits, mode) = (reader.u16()?, reader.u16()?);
    let sizes = chip.quirks.aes_bits.as_deref();
    if algorithm == AES && !sizes.unwrap_or(&[128, 192, 256]).contains(&bits) {
        return refuse(RC_VALUE, parameter);
    }
    if mode != NULL && !chip.has(mode) {
        return refuse(RC_MODE, parameter);
    }
    Ok(())
}

fn scheme(chip: &Chip, reader: &mut Reader<'_>, parameter: u32) -> Result<()> {
    match reader.u16()? {
        NULL => Ok(()),
        scheme if !chip.has(scheme) => refuse(RC_SCHEME, parameter),
        RSAES => Ok(()),
        _ => hash(chip, reader, parameter),
    }
}

fn kind(chip: &Chip, reader: &mut Reader<'_>, parameter: u32) -> Result<u16> {
    let kind = reader.u16()?;
    if [RSA, KEYEDHASH, ECC, SYMCIPHER].contains(&kind) && chip.has(kind) {
        Ok(kind)
    } else {
        refuse(RC_TYPE, parameter)
    }
}

/// `TPMU_PUBLIC_PARMS`; returns the size in bits or the curve.
fn parms(chip: &Chip, kind: u16, reader: &mut Reader<'_>, parameter: u32) -> Result<u16> {
    match kind {
        KEYEDHASH => {
            let scheme = reader.u16()?;
            if scheme != NULL {
                hash(chip, reader, parameter)?;
            }
            Ok(0)
        }
        SYMCIPHER => symmetric(chip, reader, parameter).map(|()| 0),
        RSA => {
            symmetric(chip, reader, parameter)?;
            scheme(chip, reader, parameter)?;
            let bits = reader.u16()?;
            if chip.takes_rsa(bits) {
                Ok(bits)
            } else {
                refuse(RC_VALUE, parameter)
            }
        }
        _ => {
            symmetric(chip, reader, parameter)?;
            scheme(chip, reader, parameter)?;
            let curve = reader.u16()?;
            let curves = chip.curves.as_ref();
            if curves.is_none_or(|curves| curves.contains(&curve)) {
                Ok(curve)
            } else {
                refuse(RC_CURVE, parameter)
            }
        }
    }
}

/// `TPMT_PUBLIC`, which is the second parameter of each command that has one.
fn public(chip: &Chip, bytes: &[u8]) -> Result<About> {
    const PARAMETER: u32 = 2;
    let mut reader = Reader::new(bytes);
    let kind = kind(chip, &mut reader, PARAMETER)?;
    if !bytes[2..].starts_with(&NULL.to_be_bytes()) {
        hash(chip, &mut reader, PARAMETER)?;
    } else {
        reader.u16()?;
    }
    reader.u32()?;
    digest(chip, &mut reader, PARAMETER)?;
    Ok((kind, parms(chip, kind, &mut reader, PARAMETER)?))
}

/// `TPMS_NV_PUBLIC`. Before revision 1.38 bits 4 to 6 of the attributes are flags (counter,
/// bits, extend) and bit 7 is reserved.
fn nv_public(chip: &Chip, bytes: &[u8]) -> Result<()> {
    let mut reader = Reader::new(bytes);
    reader.u32()?;
    hash(chip, &mut reader, 2)?;
    if reader.u32()? & 0x80 != 0 && !chip.has_pin_indexes() {
        let code = chip.quirks.pin_index_rc;
        return Err(Stop::Refused(code.unwrap_or(about(RC_RESERVED_BITS, 2))));
    }
    digest(chip, &mut reader, 2)?;
    let most = chip.property(PT_NV_INDEX_MAX).unwrap_or(2048);
    if u32::from(reader.u16()?) > most {
        return refuse(RC_SIZE, 2);
    }
    Ok(())
}
