//! The fingerprint of RSA keys made by a faulty library of Infineon (ROCA).

/// Small primes that divide `M`.
///
/// # Source
///
/// Nemec, Sys, Svenda, Klinec, Matyas: "The Return of Coppersmith's Attack", ACM CCS 2017,
/// section 2.1: primes of the faulty library have the form `k·M + (65537^a mod M)`, with `M`
/// a product of small primes, so that modulo each of those the modulus is a power of 65537.
pub(crate) const PRIMES: [u64; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether an RSA modulus (most significant byte first) has the fingerprint.
///
/// A random modulus has it with a probability of about 2^-28.
pub(crate) fn is_vulnerable(modulus: &[u8]) -> bool {
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
