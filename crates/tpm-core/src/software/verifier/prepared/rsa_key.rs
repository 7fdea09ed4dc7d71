//! RSA with the public exponent 65537.

use crypto_bigint::{
    Encoding, Uint,
    modular::runtime_mod::{DynResidue, DynResidueParams},
};

/// An RSA modulus with the public exponent 65537.
pub(super) struct RsaKey<const LIMBS: usize> {
    n: Uint<LIMBS>,
    params: DynResidueParams<LIMBS>,
}

impl<const LIMBS: usize> RsaKey<LIMBS>
where
    Uint<LIMBS>: Encoding,
{
    pub(super) fn new(n: Uint<LIMBS>) -> Option<Box<Self>> {
        // `DynResidueParams::new` panics for an even modulus.
        let odd = n.as_words().first().is_some_and(|lowest| lowest & 1 == 1);
        odd.then(|| {
            let params = DynResidueParams::new(&n);
            Box::new(Self { n, params })
        })
    }

    /// `signature` to the power 65537, as long as the modulus; `None` if the signature has another
    /// length than the modulus or is not smaller.
    pub(super) fn power(&self, signature: &[u8]) -> Option<Vec<u8>> {
        if signature.len() != Uint::<LIMBS>::BYTES {
            return None;
        }
        let signature = Uint::<LIMBS>::from_be_slice(signature);
        if signature >= self.n {
            return None;
        }
        let base = DynResidue::new(&signature, self.params);
        let mut power = base;
        for _ in 0..16 {
            power = power.square();
        }
        Some((power * base).retrieve().to_be_bytes().as_ref().to_vec())
    }
}
