//! Values of types `inet` and `cidr` as they are stored.
//!
//! Format: `network_recv` in `utils/adt/network.c`. Layout: `inet_struct` in `utils/inet.h`.

use super::layout::long_header;

/// Families of addresses.
const IPV4: u8 = 2;
const IPV6: u8 = 3;

/// Whether bits may be set to the right of the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostBits {
    Any,
    Zero,
}

/// Appends the stored form of a value on the wire, with a long header; false, and nothing is
/// appended, unless it is beyond doubt.
pub(super) fn push_received(wire: &[u8], host_bits: HostBits, out: &mut Vec<u8>) -> bool {
    let [family, mask_bits, _is_cidr, address_bytes, address @ ..] = wire else {
        return false;
    };
    let expected_bytes: u8 = match *family {
        IPV4 => 4,
        IPV6 => 16,
        _ => return false,
    };
    if *address_bytes != expected_bytes
        || address.len() != usize::from(expected_bytes)
        || *mask_bits > 8 * expected_bytes
        || host_bits == HostBits::Zero && has_host_bits(address, usize::from(*mask_bits))
    {
        return false;
    }
    out.extend_from_slice(&long_header(2 + address.len()));
    out.extend_from_slice(&[*family, *mask_bits]);
    out.extend_from_slice(address);
    true
}

fn has_host_bits(address: &[u8], mask_bits: usize) -> bool {
    let (whole, rest) = (mask_bits / 8, mask_bits % 8);
    let behind = address.iter().skip(whole).enumerate();
    behind.into_iter().any(|(index, byte)| match index {
        0 => byte & (0xff >> rest) != 0,
        _ => *byte != 0,
    })
}
