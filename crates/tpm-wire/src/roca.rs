//! The fingerprint of RSA keys made by a faulty library of Infineon (ROCA, CVE-2017-15361).

/// Small primes that divide `M`, the product from which the faulty library makes its primes.
///
/// # Source
///
/// Nemec, Sys, Svenda, Klinec, Matyas: "The Return of Coppersmith's Attack", ACM CCS 2017,
/// section 2.1: primes of the faulty library have the form `k·M + (65537^a mod M)`, with `M`
/// a product of small primes, so that modulo each of those the modulus is a power of 65537.
pub const PRIMES: [u64; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether an RSA modulus (most significant byte first) has the fingerprint.
///
/// A random modulus has it with a probability of about 2^-28.
#[must_use]
pub fn is_vulnerable(modulus: &[u8]) -> bool {
    PRIMES
        .iter()
        .all(|&prime| is_power_of_65537(residue(modulus, prime), prime))
}

/// The modulus reduced by a small prime, four bytes at a time.
fn residue(modulus: &[u8], prime: u64) -> u64 {
    let (head, words) = modulus.split_at(modulus.len() % 4);
    let head = head.iter().fold(0, |acc, &byte| acc << 8 | u64::from(byte)) % prime;
    words.chunks_exact(4).fold(head, |acc, word| {
        let word = word.iter().fold(0, |acc, &byte| acc << 8 | u64::from(byte));
        (acc << 32 | word) % prime
    })
}

fn is_power_of_65537(residue: u64, prime: u64) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    loop {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
        if power == 1 {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::{OsRng, RngCore};

    use super::*;

    /// A number of the faulty form: 65537^a modulo the product of the primes.
    #[test]
    fn a_modulus_of_the_faulty_form_is_found() {
        let product: u128 = PRIMES.iter().map(|&p| u128::from(p)).product();
        for _ in 0..100 {
            assert!(is_vulnerable(&power_of_65537(product).to_be_bytes()));
        }
    }

    /// A power of 65537 modulo `product`. Multiplying by 65537 is doubling sixteen times and adding
    /// the number itself, which cannot overflow.
    fn power_of_65537(product: u128) -> u128 {
        let exponent = OsRng.next_u32() % 10_000;
        (0..exponent).fold(1, |acc: u128, _| {
            let doubled = (0..16).fold(acc, |x, _| (x * 2) % product);
            (doubled + acc) % product
        })
    }

    #[test]
    fn four_bytes_at_a_time_give_the_same_residue_as_one() {
        let mut modulus = [0; 257];
        OsRng.fill_bytes(&mut modulus);
        for prime in PRIMES {
            let slow = modulus
                .iter()
                .fold(0, |acc, &byte| (acc * 256 + u64::from(byte)) % prime);
            assert_eq!(residue(&modulus, prime), slow);
        }
    }

    #[test]
    fn random_moduli_are_not_found() {
        let mut found = 0;
        for _ in 0..1000 {
            let mut modulus = [0; 256];
            OsRng.fill_bytes(&mut modulus);
            found += u32::from(is_vulnerable(&modulus));
        }
        assert_eq!(found, 0);
    }
}
