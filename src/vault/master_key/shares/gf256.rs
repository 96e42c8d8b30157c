//! The field with 256 elements, GF(2⁸), as AES has it (FIPS 197, section 4.2): modulo x⁸ + x⁴ + x³ + x + 1.
//!
//! There are no tables and no branches: neither the time nor the memory that is touched depends on the elements. A sum is `^`.

use std::hint::black_box;

/// What x⁸ is, as a sum of lower powers.
const REDUCED: u8 = 0x1b;

/// The product of two elements.
pub fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut power) = (0, a);
    for bit in 0..8 {
        product ^= power & mask(b >> bit);
        power = (power << 1) ^ (REDUCED & mask(power >> 7));
    }
    product
}

/// The inverse of an element, which is its 254th power; of zero, which has none, zero.
pub fn inverse(a: u8) -> u8 {
    let (mut inverse, mut power) = (1, a);
    // 254 is the sum of the powers of two from 2 to 128.
    for _ in 0..7 {
        power = multiply(power, power);
        inverse = multiply(inverse, power);
    }
    inverse
}

/// All ones if the lowest bit of `bits` is one, or else all zeros. The compiler does not see which, and makes no branch of it.
fn mask(bits: u8) -> u8 {
    black_box(bits & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = u8> {
        0..=u8::MAX
    }

    #[test]
    fn products_are_those_of_the_standard() {
        // FIPS 197, sections 4.2 and 4.2.1.
        for (b, product) in
            [(0x83, 0xc1), (0x01, 0x57), (0x02, 0xae), (0x04, 0x47), (0x08, 0x8e), (0x10, 0x07), (0x13, 0xfe)]
        {
            assert_eq!(multiply(0x57, b), product, "{b:02x}");
        }
        assert_eq!(inverse(0x53), 0xca, "the example of the S-box, section 5.1.1");
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        for a in all().skip(1) {
            assert_eq!(multiply(a, inverse(a)), 1, "{a:02x}");
        }
        assert_eq!(inverse(0), 0);
    }

    #[test]
    fn the_product_is_that_of_a_field() {
        for a in all() {
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, 0), 0);
            for b in all() {
                let product = multiply(a, b);
                assert_eq!(product, multiply(b, a), "{a:02x} {b:02x}");
                assert_eq!(product == 0, a == 0 || b == 0, "{a:02x} {b:02x}");
                for bit in 0..8 {
                    let c = 1 << bit;
                    // Every element is a sum of these, so that this holds for all c.
                    assert_eq!(multiply(a, b ^ c), product ^ multiply(a, c), "{a:02x} {b:02x} {c:02x}");
                    assert_eq!(multiply(product, c), multiply(a, multiply(b, c)), "{a:02x} {b:02x} {c:02x}");
                }
            }
        }
    }
}
