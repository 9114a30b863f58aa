// The hash of the vocabulary's tables, shared by the build script that writes them and the code that reads them.

/// Bytes of the longest token.
pub const MAX_TOKEN: usize = 128;

/// The slots of a table of `len` slots (a power of two) in which `token` may be, in order.
pub fn probe(token: &[u8], len: usize) -> impl Iterator<Item = usize> {
    // FNV-1a, with its upper half folded in: the lower bits alone are poor.
    let hash = token
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let first = (hash ^ (hash >> 32)) as usize;
    (0..len).map(move |step| first.wrapping_add(step) & (len - 1))
}
