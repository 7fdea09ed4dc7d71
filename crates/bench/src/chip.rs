//! How long a discrete TPM takes for a command.
//!
//! The figures are those of an Infineon OPTIGA SLB 9670 at 43 MHz SPI, as wolfSSL publishes
//! them: the table "TPM2 Benchmarks" in the README of github.com/wolfSSL/wolfTPM (commit
//! 0495c707d13a836fb8ae2e7888c4ab38fab4f404), made by its `examples/bench/bench.c`:
//!
//! | published line | here |
//! |---|---|
//! | `RNG 16 KB took 1.140 seconds`, 32 bytes for each `TPM2_GetRandom` | [`SHORT`] |
//! | `RSA 2048 Public … avg 8.893 ms`, `TPM2_RSA_Encrypt` | [`KEY_SIZED`] |
//! | `RSA 2048 Private … avg 163.207 ms`, `TPM2_RSA_Decrypt` | [`RSA_PRIVATE`] |
//! | `ECDSA 256 sign … avg 68.865 ms`, `TPM2_Sign` | [`ECDSA_SIGN`] |
//! | `ECDSA 256 verify … avg 113.539 ms`, `TPM2_VerifySignature` | [`ECDSA_VERIFY`] |
//! | `ECDHE 256 agree … avg 232.144 ms`, `TPM2_ECDH_KeyGen` | [`ECDH_KEYGEN`] |
//! | `ECC 256 key gen … avg 231.350 ms`, `TPM2_Create` and `TPM2_Load` | [`ECC_CREATE`] |
//! | `RSA 2048 key gen … avg 2196.230 ms`, likewise | [`RSA_CREATE`] |
//!
//! The rest was not published there and is *derived*:
//!
//! - `TPM2_Sign` with RSA 2048 is the same private operation as `TPM2_RSA_Decrypt`.
//! - The start of a session salted to an RSA key decrypts the salt: `RSA_PRIVATE`. Salted to an ECC
//!   key, it multiplies one foreign point: `ECDH_KEYGEN` less the multiplication of the generator,
//!   for which `ECDSA_SIGN` stands.
//! - Commands that carry or decrypt a whole key (`Load`, `ContextLoad`, `ContextSave`,
//!   `ObjectChangeAuth`, `Unseal`, …) do no public-key operation and move some hundred bytes,
//!   as `TPM2_RSA_Encrypt` does, whose public exponent is short: `KEY_SIZED`.
//! - Everything else is taken to cost as little as `TPM2_GetRandom`: `SHORT`.
//! - RSA 3072, P-384 and P-521 get the times of RSA 2048 and P-256; the measurements with this
//!   profile use only P-256 and RSA 2048.

use std::time::Duration;

use testing::Exchange;

/// The name of the profile in tables.
pub(crate) const NAME: &str = "Infineon SLB 9670 (published by wolfTPM)";

const SHORT: Duration = Duration::from_micros(2_227);
const KEY_SIZED: Duration = Duration::from_micros(8_893);
const RSA_PRIVATE: Duration = Duration::from_micros(163_207);
const ECDSA_SIGN: Duration = Duration::from_micros(68_865);
const ECDSA_VERIFY: Duration = Duration::from_micros(113_539);
const ECDH_KEYGEN: Duration = Duration::from_micros(232_144);
const ECC_CREATE: Duration = Duration::from_micros(231_350);
const RSA_CREATE: Duration = Duration::from_micros(2_196_230);

/// `TPM_ALG_RSASSA`, `TPM_ALG_RSAPSS` as the scheme of a `TPM2_Sign`.
const RSA_SCHEMES: [[u8; 2]; 2] = [[0x00, 0x14], [0x00, 0x16]];

/// How long the chip takes for a command. A failed one takes [`SHORT`]: chips refuse before they
/// compute.
pub(crate) fn latency(exchange: &Exchange) -> Duration {
    if exchange.response_code() != Some(0) {
        return SHORT;
    }
    match exchange.code() {
        // Create, CreatePrimary.
        0x153 | 0x131 if exchange.response.len() > 480 => RSA_CREATE,
        0x153 | 0x131 => ECC_CREATE,
        // Sign.
        0x15d if is_rsa_signature(exchange) => RSA_PRIVATE,
        0x15d => ECDSA_SIGN,
        // RSA_Decrypt.
        0x159 => RSA_PRIVATE,
        // VerifySignature, ECDH_KeyGen, ECDH_ZGen.
        0x177 => ECDSA_VERIFY,
        0x163 => ECDH_KEYGEN,
        0x154 => ECDH_KEYGEN - ECDSA_SIGN,
        // StartAuthSession.
        0x176 => match salt_length(exchange) {
            0 => SHORT,
            256.. => RSA_PRIVATE,
            _ => ECDH_KEYGEN - ECDSA_SIGN,
        },
        // Load, ContextLoad, ContextSave, ObjectChangeAuth, Unseal, LoadExternal, RSA_Encrypt,
        // EvictControl, Import.
        0x157 | 0x161 | 0x162 | 0x150 | 0x15e | 0x167 | 0x174 | 0x120 | 0x156 => KEY_SIZED,
        _ => SHORT,
    }
}

/// An ECDSA signature has two numbers with their sizes, an RSA signature one number as long as the
/// modulus. Its first field is the algorithm (Part 3, 20.2; after header and parameter size).
fn is_rsa_signature(exchange: &Exchange) -> bool {
    exchange
        .response
        .get(14..16)
        .is_some_and(|scheme| RSA_SCHEMES.iter().any(|rsa| rsa == scheme))
}

/// The length of the encrypted salt: after the header, two handles and the nonce (Part 3, 11.1).
fn salt_length(exchange: &Exchange) -> u16 {
    let u16_at = |at: usize| {
        let bytes = exchange.command.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    u16_at(18)
        .and_then(|nonce| u16_at(20 + usize::from(nonce)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(code: u32, body: &[u8], response_code: u32, answer: &[u8]) -> Exchange {
        let frame = |code: u32, body: &[u8]| {
            let mut bytes = vec![0x80, 0x01];
            bytes.extend_from_slice(&(10 + body.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&code.to_be_bytes());
            bytes.extend_from_slice(body);
            bytes
        };
        Exchange {
            command: frame(code, body),
            response: frame(response_code, answer),
        }
    }

    #[test]
    fn signatures_are_told_apart_by_their_scheme() {
        let sign = |scheme: u8| exchange(0x15d, &[], 0, &[0, 0, 0, 0, 0, scheme, 0, 0x0b]);
        assert_eq!(latency(&sign(0x18)), ECDSA_SIGN);
        assert_eq!(latency(&sign(0x14)), RSA_PRIVATE);
        assert_eq!(latency(&sign(0x16)), RSA_PRIVATE);
    }

    #[test]
    fn a_session_costs_what_its_salt_costs() {
        let start = |salt: usize| {
            let mut body = vec![0; 8];
            body.extend_from_slice(&[0, 32]);
            body.extend_from_slice(&[7; 32]);
            body.extend_from_slice(&(salt as u16).to_be_bytes());
            body.extend(vec![7; salt]);
            exchange(0x176, &body, 0, &[])
        };
        assert_eq!(latency(&start(0)), SHORT);
        assert_eq!(latency(&start(68)), Duration::from_micros(163_279));
        assert_eq!(latency(&start(256)), RSA_PRIVATE);
    }

    #[test]
    fn a_refusal_and_a_short_command_are_cheap() {
        assert_eq!(latency(&exchange(0x15d, &[], 0x9a2, &[])), SHORT);
        assert_eq!(latency(&exchange(0x17b, &[0, 32], 0, &[])), SHORT);
        assert_eq!(latency(&exchange(0x157, &[], 0, &[])), KEY_SIZED);
    }

    #[test]
    fn a_command_cut_short_is_no_panic() {
        let mut cut = exchange(0x176, &[0; 9], 0, &[]);
        assert_eq!(latency(&cut), SHORT);
        cut.command.truncate(10);
        assert_eq!(latency(&cut), SHORT);
        assert_eq!(latency(&exchange(0x15d, &[], 0, &[])), ECDSA_SIGN);
    }
}
