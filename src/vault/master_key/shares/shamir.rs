//! Shamir's scheme: a secret in shares, of which a threshold gives it back and fewer tell nothing (Shamir, "How to Share a
//! Secret", 1979).
//!
//! Each byte of the secret is the value at 0 of a polynomial over GF(2⁸) of a degree below the threshold. The share number x has
//! the value at x.

use super::gf256::{inverse, multiply};
use crate::base::failure::Failure;
use crate::base::secret::Wiped;
use crate::vault::seal;

/// Splits `secret` into the shares 1 to `shares`, in this order, of which `threshold`, 1 or more, are needed.
///
/// # Errors
/// If the system has no random bytes to give.
pub fn split(secret: &[u8], shares: u8, threshold: u8) -> Result<Vec<Wiped>, Failure> {
    // Any bytes, zeros too: were the highest coefficient never zero, then fewer shares would rule out secrets.
    let mut coefficients = Wiped::new(vec![0; secret.len() * usize::from(threshold - 1)]);
    seal::fill(&mut coefficients)?;
    Ok((1..=shares).map(|x| at(x, secret, &coefficients)).collect())
}

/// The values at `x` of polynomials: of each, the lowest coefficient is in `secret`, and its others, as many as of each other
/// one, are in `coefficients`.
fn at(x: u8, secret: &[u8], coefficients: &[u8]) -> Wiped {
    let others = coefficients.len() / secret.len();
    let mut values = Wiped::new(Vec::with_capacity(secret.len()));
    for (byte, lowest) in secret.iter().enumerate() {
        let higher = &coefficients[byte * others..][..others];
        values.push(higher.iter().rev().fold(0, |sum, coefficient| multiply(sum ^ coefficient, x)) ^ lowest);
    }
    values
}

/// The secret of which these are shares, each with its number; all are of one length, and no two have the same number. Of
/// fewer than the threshold, or of shares that do not belong together, it is something else.
pub fn combine(shares: &[(u8, &[u8])]) -> Wiped {
    let length = shares.iter().map(|(_, values)| values.len()).min().unwrap_or_default();
    let mut secret = Wiped::new(vec![0; length]);
    for (x, values) in shares {
        // The polynomial that is 1 at x and 0 at the others, at 0.
        let others = shares.iter().map(|(other, _)| *other).filter(|other| other != x);
        let weight = others.fold(1, |weight, other| multiply(weight, multiply(other, inverse(other ^ x))));
        for (sum, value) in secret.iter_mut().zip(*values) {
            *sum ^= multiply(weight, *value);
        }
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every choice of `count` of these.
    fn choices<T: Copy>(of: &[T], count: usize) -> Vec<Vec<T>> {
        let Some((first, rest)) = of.split_first().filter(|_| count > 0) else {
            return if count == 0 { vec![Vec::new()] } else { Vec::new() };
        };
        let with_it = choices(rest, count - 1).into_iter().map(|others| [&[*first], &others[..]].concat());
        with_it.chain(choices(rest, count)).collect()
    }

    fn numbered(shares: &[Wiped]) -> Vec<(u8, &[u8])> {
        (1..=u8::MAX).zip(shares).map(|(x, values)| (x, &values[..])).collect()
    }

    #[test]
    fn any_shares_of_the_threshold_or_more_give_the_secret_and_fewer_give_something_else() {
        let secret: Vec<u8> = (0..36).map(|n| n * 7).collect();
        for (shares, threshold) in [(5, 3), (2, 2), (5, 5), (7, 2), (6, 4)] {
            let split = split(&secret, shares, threshold).unwrap();
            for count in 1..=usize::from(shares) {
                for chosen in choices(&numbered(&split), count) {
                    let opens = *combine(&chosen) == secret;
                    assert_eq!(opens, count >= usize::from(threshold), "{count} of {shares}, {threshold} needed");
                }
            }
        }
        assert_eq!(choices(&[1, 2, 3, 4, 5], 3).len(), 10);
    }

    #[test]
    fn the_most_shares_that_there_can_be_give_the_secret() {
        let split = split(b"secret", u8::MAX, u8::MAX).unwrap();
        assert_eq!(**combine(&numbered(&split)), *b"secret");
        assert_ne!(**combine(&numbered(&split[1..])), *b"secret");
    }

    #[test]
    fn fewer_shares_than_the_threshold_fit_every_secret_in_exactly_one_way() {
        // Two shares of a threshold of three: what they are, over all polynomials of each secret.
        for pair in [[1, 2], [2, 5], [4, u8::MAX]] {
            let of = |secret, coefficients: u16| {
                u16::from_be_bytes(pair.map(|x| at(x, &[secret], &coefficients.to_be_bytes())[0]))
            };
            let of_zero: Vec<_> = (0..=u16::MAX).map(|coefficients| of(0, coefficients)).collect();
            for secret in 0..=u8::MAX {
                // Both values are those of the secret 0 and the secret.
                let more = u16::from_be_bytes([secret; 2]);
                assert_eq!(of(secret, 0x0709), of_zero[0x0709] ^ more);
                let mut ways = vec![0_u32; 1 << 16];
                for values in &of_zero {
                    ways[usize::from(values ^ more)] += 1;
                }
                assert_eq!(ways, vec![1; 1 << 16], "the shares {pair:?} and the secret {secret}");
            }
        }
    }

    #[test]
    fn shares_that_another_program_has_made_give_their_secret() {
        // By pyshamir 1.1.0, which is the package shamir of HashiCorp Vault in Python, 3 of 5: the values, then x.
        let shares = [
            "9ec718ce377afed978049a1f126fa42d3e02ae26b487eaf8de8ff4a29c7ff831188616f364",
            "b0e5dad676f375b6b31852ed5aba27d2adca0ea6630408d1962fca31a8ffcdd8c7a1804850",
            "3b1105364a29844284a642b7e01dd805a5c6387f9e94c194e491d7e3e3b0081e19a9b3f882",
            "0d7ba835567ffc7bac8d802a6c89cffcc1a22101091553e690fd578a120021e5e7b68a066d",
            "8ec44fdd5037ac35779bfbbc7e6400156ff724311badfc7b3262d5ad4e3a2fb98919cc3e73",
        ];
        let bytes = |digits: &str| -> Vec<u8> {
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
        };
        let shares = shares.map(bytes);
        let shares = shares.each_ref().map(|bytes| bytes.split_last().map(|(x, values)| (*x, values)).unwrap());
        let secret: Vec<u8> = (0..32).chain([0xde, 0xad, 0xbe, 0xef]).collect();
        for chosen in choices(&shares, 3) {
            assert_eq!(*combine(&chosen), secret);
        }
    }

    #[test]
    fn coefficients_take_every_value_equally_often() {
        let secret = [0; 1 << 12];
        let mut seen = [0_u32; 256];
        for _ in 0..16 {
            // At 1, and of the secret 0, a share of a threshold of two is the coefficient.
            split(&secret, 1, 2).unwrap()[0].iter().for_each(|byte| seen[usize::from(*byte)] += 1);
        }
        // 65,536 bytes, each value 256 times on average, with a standard deviation of 16: ten of them is never.
        assert!(seen.iter().all(|times| (96..416).contains(times)), "{seen:?}");
    }
}
